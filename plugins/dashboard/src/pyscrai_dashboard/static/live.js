// Server-sent events: what changed, as it changes.

const RETRY_MS = [1000, 2000, 5000, 10000];
const states = new Map();

function report(key, state) {
  if (state === null) states.delete(key);
  else states.set(key, state);
  const all = [...states.values()];
  const worst = all.includes("reconnecting") ? "reconnecting" : all.includes("live") ? "live" : "";
  const badge = document.getElementById("connection");
  if (badge.dataset.state === worst) return;
  badge.dataset.state = worst;
  badge.textContent = { live: "Live", reconnecting: "Reconnecting…", "": "" }[worst];
}

/**
 * Follow a stream until `signal` is aborted. `handlers` are functions by event name, called with the decoded
 * data. After a lost connection it goes on behind the last event that arrived: the browser sends Last-Event-ID,
 * and where it gave up, `resume(lastId)` gives the address. A hidden page follows nothing, since browsers allow
 * few connections to one server.
 */
export function follow(url, handlers, { signal, resume = () => url, onOpen = null }) {
  const key = Symbol(url);
  let source = null;
  let last = "";
  let failures = 0;
  let timer = null;

  function open() {
    clearTimeout(timer);
    source = new EventSource(last ? resume(last) : url);
    source.onopen = () => {
      failures = 0;
      report(key, "live");
      onOpen?.();
    };
    source.onerror = () => {
      report(key, "reconnecting");
      if (source.readyState !== EventSource.CLOSED) return; // the browser tries again
      timer = setTimeout(open, RETRY_MS[Math.min(failures, RETRY_MS.length - 1)]);
      failures += 1;
    };
    for (const [name, handle] of Object.entries(handlers)) {
      source.addEventListener(name, (event) => {
        if (event.lastEventId) last = event.lastEventId;
        handle(JSON.parse(event.data));
      });
    }
  }

  function close() {
    clearTimeout(timer);
    source?.close();
    source = null;
  }

  function seen() {
    if (document.hidden) close();
    else if (source === null) open();
  }

  document.addEventListener("visibilitychange", seen, { signal });
  signal.addEventListener("abort", () => {
    close();
    report(key, null);
  });
  if (!document.hidden) open();
  return () => {
    close();
    report(key, null);
  };
}
