// What the server is: its store, what may be done, and panels of other plugins.

let loading = null;

/** Take over the request of /api/info, and show the store. */
export function setInfo(promise) {
  loading = promise;
  promise.then(
    (info) => {
      const store = document.getElementById("store");
      store.textContent = `${info.store}${info.read_only ? " (read only)" : ""}`;
      store.title = `PyScrAI ${info.version ?? ""}, store ${info.store}`;
    },
    () => {},
  );
}

/** What /api/info answered. */
export function getInfo() {
  return loading;
}
