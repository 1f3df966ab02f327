// Rows that arrive are put on top of the history. The server renders them, escaped as all others are.
"use strict";

const MOST_ROWS = 300;
const live = document.getElementById("live");
const told = document.getElementById("live-text");
const pause = document.getElementById("live-pause");
const body = document.querySelector("table.events tbody");
const count = document.getElementById("count");
let paused = false;
let waiting = [];

function show(text) {
  const [arrived, html] = [parseInt(text, 10), text.slice(text.indexOf("\n") + 1)];
  const holder = document.createElement("template");
  holder.innerHTML = `<table><tbody>${html}</tbody></table>`;
  let known = 0;
  for (const row of holder.content.querySelectorAll("tr")) {
    if (body.querySelector(`[data-event-id="${CSS.escape(row.dataset.eventId)}"]`)) known += 1;
    else body.prepend(row);
  }
  while (body.rows.length > MOST_ROWS) body.lastElementChild.remove();
  document.querySelector(".no-events")?.remove();
  const all = Number(count.textContent.replace(/\D/g, "")) + arrived - known;
  count.textContent = String(all).replace(/\B(?=(\d{3})+$)/g, "\u2009");
}

function say(text, state) {
  told.textContent = text;
  live.dataset.state = state;
}

function connect() {
  const source = new EventSource(live.dataset.address);
  source.onopen = () => say("live", "open");
  source.onerror = () => {
    if (source.readyState === EventSource.CLOSED) say("ended: load the page again", "closed");
    else say("connecting again", "broken");
  };
  source.addEventListener("rows", (event) => {
    if (!paused) return show(event.data);
    waiting.push(event.data);
    if (waiting.length > MOST_ROWS) waiting.shift();
    const arrived = waiting.reduce((sum, text) => sum + parseInt(text, 10), 0);
    pause.textContent = `Show ${arrived} new`;
  });
  window.addEventListener("pagehide", () => source.close());
}

pause.addEventListener("click", () => {
  paused = !paused;
  pause.textContent = paused ? "Go on" : "Pause";
  if (!paused) for (const text of waiting.splice(0)) show(text);
});

live.hidden = false;
connect();
