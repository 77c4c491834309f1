"use strict";
const hover = document.getElementById("hover");
const boxes = [...document.querySelectorAll("[data-opens]")];

function setOpen(id, open) {
  document.getElementById(id).hidden = !open;
  const box = boxes.find((item) => item.dataset.opens === id);
  box.setAttribute("aria-expanded", String(open));
  box.querySelector(".toggle").textContent = open ? "−" : "+";
  if (!open) {
    // Sections that were opened from inside this one close with it.
    for (const inner of document.getElementById(id).querySelectorAll("[data-opens]")) {
      setOpen(inner.dataset.opens, false);
    }
  }
}

for (const box of boxes) {
  const toggle = () => {
    const open = document.getElementById(box.dataset.opens).hidden;
    setOpen(box.dataset.opens, open);
    if (open) {
      document.getElementById(box.dataset.opens).scrollIntoView({ block: "nearest" });
    }
  };
  box.addEventListener("click", toggle);
  box.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      toggle();
    }
  });
}
for (const button of document.querySelectorAll("[data-closes]")) {
  button.addEventListener("click", () => setOpen(button.dataset.closes, false));
}
document.getElementById("all").addEventListener("click", () => {
  boxes.forEach((box) => setOpen(box.dataset.opens, true));
});
document.getElementById("none").addEventListener("click", () => {
  boxes.forEach((box) => setOpen(box.dataset.opens, false));
});

function showTip(box, x, y) {
  hover.textContent = box.dataset.tip;
  hover.hidden = false;
  const size = hover.getBoundingClientRect();
  hover.style.left = `${Math.max(4, Math.min(x + 14, innerWidth - size.width - 8))}px`;
  hover.style.top = `${y + 18 + size.height > innerHeight ? y - size.height - 10 : y + 18}px`;
}
for (const box of document.querySelectorAll("[data-tip]")) {
  box.addEventListener("pointermove", (event) => showTip(box, event.clientX, event.clientY));
  box.addEventListener("pointerleave", () => { hover.hidden = true; });
  box.addEventListener("focus", () => {
    if (box.matches(":focus-visible")) {
      const bounds = box.getBoundingClientRect();
      showTip(box, bounds.left, bounds.bottom);
    }
  });
  box.addEventListener("blur", () => { hover.hidden = true; });
}
