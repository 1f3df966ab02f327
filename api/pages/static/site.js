// Times ago stay true while a page is open; a bar shows that the next is under way. All pages work without.
"use strict";

const STEPS = [[60, 1, "s"], [3600, 60, "min"], [86400, 3600, "h"], [Infinity, 86400, "d"]];

function ago(iso) {
  const seconds = (Date.now() - Date.parse(iso)) / 1000;
  const length = Math.abs(seconds);
  if (length < 1) return "now";
  const [, unit, name] = STEPS.find(([below]) => length < below);
  const told = Math.floor(length / unit) + "\u2009" + name;
  return seconds > 0 ? told + " ago" : "in " + told;
}

function refreshTimes() {
  for (const time of document.querySelectorAll("time[data-ago]")) time.textContent = ago(time.dateTime);
}

setInterval(refreshTimes, 10000);

// A page that was left by the browser's own "back" is shown as it was, without the bar.
const wait = (waits) => document.documentElement.classList.toggle("waits", waits);

window.addEventListener("pageshow", () => wait(false));
document.addEventListener("submit", () => wait(true));
document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href]");
  const stays = !link || link.hasAttribute("download") || link.target || event.ctrlKey || event.metaKey || event.shiftKey;
  const address = stays ? "" : link.getAttribute("href");
  if (address && !address.startsWith("#")) wait(true);
});
