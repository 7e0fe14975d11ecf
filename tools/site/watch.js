// The sliders of the page "Watch it": each moves the frames of its section. No library, no network.
"use strict";

function place(tile, section) {
  const across = Number(tile.dataset.column ?? section.dataset.column ?? 0);
  const down = Number(tile.dataset.row ?? section.dataset.row ?? 0);
  const columns = Number(section.dataset.columns);
  const rows = Number(section.dataset.rows);
  const share = (at, count) => (count > 1 ? (100 * at) / (count - 1) : 0);
  tile.style.backgroundSize = `${100 * columns}% ${100 * rows}%`;
  tile.style.backgroundPosition = `${share(across, columns)}% ${share(down, rows)}%`;
}

function show(section) {
  const words = [];
  for (const slider of section.querySelectorAll("input")) {
    const names = JSON.parse(slider.dataset.names);
    const name = names[Number(slider.value)];
    section.dataset[slider.name] = slider.value;
    slider.setAttribute("aria-valuetext", name);
    slider.parentElement.querySelector("output").textContent = name;
    words.push(name);
  }
  for (const tile of section.querySelectorAll(".tile")) {
    place(tile, section);
  }
  const notes = section.querySelector("[data-notes]");
  if (notes) {
    const table = JSON.parse(notes.dataset.notes);
    notes.textContent = table[Number(section.dataset.row)][Number(section.dataset.column)];
  }
}

for (const section of document.querySelectorAll(".watch")) {
  section.addEventListener("input", () => show(section));
  show(section);
}
