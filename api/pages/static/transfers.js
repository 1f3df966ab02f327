// Bars move while the page is open. The server renders the rows, escaped as all others are.
"use strict";

const INTERVAL_MS = 1000;
const list = document.getElementById("transfers");
const rows = list && list.querySelector("tbody");

async function refresh() {
  // A button that has the focus, or is being pressed, stays what it is.
  if (document.hidden || rows.contains(document.activeElement)) return;
  const answer = await fetch(list.dataset.address, { redirect: "error" });
  if (!answer.ok) return;
  const holder = document.createElement("template");
  holder.innerHTML = `<table><tbody>${await answer.text()}</tbody></table>`;
  rows.replaceChildren(...holder.content.querySelectorAll("tr"));
}

function again() {
  refresh().catch(() => undefined).finally(() => setTimeout(again, INTERVAL_MS));
}

if (rows) setTimeout(again, INTERVAL_MS);
