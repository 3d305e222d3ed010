// Follows a stream as a page in a browser would, and says each thing that happens as one line of JSON.
const { EventSource } = require("eventsource");

// EventSource waits three seconds before it comes back; here that wait is a thirtieth of it.
const wait = globalThis.setTimeout;
globalThis.setTimeout = (run, delay, ...rest) => wait(run, delay / 30, ...rest);

const say = (what) => console.log(JSON.stringify(what));
const source = new EventSource(process.argv[2]);
const told = (event) => say({ event: event.type, id: event.lastEventId, data: JSON.parse(event.data) });

source.addEventListener("open", () => say({ event: "open" }));
source.addEventListener("progress", told);
source.addEventListener("complete", told);
source.addEventListener("error", (event) => {
  if (event.data !== undefined) return told(event); // The service's own event has data; trouble has none.
  say({ event: source.readyState === EventSource.CLOSED ? "closed" : "lost", code: event.code });
});
