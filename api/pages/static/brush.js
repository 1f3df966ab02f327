// Drag over the histogram to see that stretch of time. Without this file each bar is a link.
"use strict";

for (const brush of document.querySelectorAll(".brush")) {
  const chart = brush.querySelector("svg.chart");
  const [from, to, width] = ["from", "to", "width"].map((name) => Number(chart.dataset[name]));
  const marked = document.createElement("div");
  marked.className = "marked";
  brush.append(marked);
  let start = null;

  const share = (event) => {
    const box = chart.getBoundingClientRect();
    return Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1);
  };
  const bucket = (at, round) => from + round((at * (to - from)) / width) * width;
  const text = (second) => new Date(second * 1000).toISOString().slice(0, 19) + "Z";

  chart.addEventListener("pointerdown", (event) => {
    if (event.button === 0 && event.pointerType !== "touch") start = share(event);
  });
  chart.addEventListener("dragstart", (event) => event.preventDefault());
  window.addEventListener("pointermove", (event) => {
    if (start === null) return;
    const [left, right] = [start, share(event)].sort((a, b) => a - b);
    marked.classList.toggle("shown", right - left > 0.004);
    // Style sheets alone may style here, so the marked stretch is moved by the object model.
    marked.style.left = left * 100 + "%";
    marked.style.width = (right - left) * 100 + "%";
  });
  window.addEventListener("pointerup", (event) => {
    if (start === null) return;
    const [left, right] = [start, share(event)].sort((a, b) => a - b);
    start = null;
    if (right - left <= 0.004) return;
    const address = new URL(brush.dataset.address, location.href);
    address.searchParams.set("from", text(bucket(left, Math.floor)));
    address.searchParams.set("to", text(bucket(right, Math.ceil)));
    location.assign(address);
  });
  chart.addEventListener("click", (event) => {
    if (marked.classList.contains("shown")) event.preventDefault();
  }, true);
}
