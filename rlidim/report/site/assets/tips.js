// A first tap on a lane shows what hovering shows; a second one follows the link.
"use strict";

document.addEventListener("click", (event) => {
  const lane = event.target.closest(".lane");
  const shown = document.querySelector(".lane.shown");
  if (shown && shown !== lane) shown.classList.remove("shown");
  const touched = event.pointerType === "touch" || event.pointerType === "pen";
  if (lane && touched && !lane.classList.contains("shown")) {
    event.preventDefault();
    lane.classList.add("shown");
  }
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") document.activeElement.blur();
});
