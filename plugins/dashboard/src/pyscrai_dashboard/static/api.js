// Requests to the server. Errors have the server's words, which say what is wrong and what to do.

export class ApiError extends Error {
  /** `status` is HTTP's, 0 if the server could not be reached; `body` is the answer. */
  constructor(message, status, body) {
    super(message);
    this.status = status;
    this.body = body;
  }
}

async function send(path, options) {
  let response;
  try {
    response = await fetch(path, { ...options, credentials: "same-origin" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("The server does not answer. Is pyscrai dashboard still running?", 0, null);
  }
  const type = response.headers.get("content-type") ?? "";
  const body = type.includes("json") ? await response.json() : await response.text();
  if (response.ok) return body;
  const said = body?.error ?? `${path}: the server answered ${response.status}`;
  throw new ApiError(said, response.status, body);
}

/** The path with a query of those values that are set. */
export function address(path, query = {}) {
  const set = Object.entries(query).filter(
    ([, value]) => value !== undefined && value !== null && value !== "",
  );
  const text = new URLSearchParams(set.map(([name, value]) => [name, String(value)])).toString();
  return text ? `${path}?${text}` : path;
}

export function get(path, query, signal) {
  return send(address(path, query), { signal });
}

export function post(path, body = {}) {
  return send(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
}

/** The path of a run in the API: `runPath("a1", "events", 7)`. */
export function runPath(run, ...parts) {
  return ["/api/runs", run, ...parts]
    .map((part, at) => (at === 0 ? part : encodeURIComponent(part)))
    .join("/");
}

/** Whether a request was given up because its view was left. */
export function aborted(error) {
  return error?.name === "AbortError";
}
