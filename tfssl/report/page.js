// The map: an image and its name where the pointer is; one class where its name is pressed.
const tip = document.getElementById("tip");
const map = document.querySelector(".map");
if (map) {
  const show = (event) => {
    const point = event.target.closest("circle");
    if (!point) { tip.style.display = "none"; return; }
    const picture = document.createElement("i");
    picture.className = "t";
    picture.style.cssText = point.dataset.place;
    const name = document.createElement("div");
    name.textContent = point.dataset.name;
    tip.replaceChildren(picture, name);
    tip.style.display = "block";
    const x = Math.min(event.clientX + 14, innerWidth - 195);
    tip.style.left = x + "px";
    tip.style.top = Math.min(event.clientY + 14, innerHeight - 110) + "px";
  };
  map.addEventListener("pointermove", show);
  map.addEventListener("pointerdown", show);
  map.addEventListener("pointerleave", () => { tip.style.display = "none"; });
  for (const button of document.querySelectorAll(".classes button")) {
    button.addEventListener("click", () => {
      const pressed = button.getAttribute("aria-pressed") === "true";
      for (const other of document.querySelectorAll(".classes button")) {
        other.setAttribute("aria-pressed", "false");
      }
      button.setAttribute("aria-pressed", String(!pressed));
      map.classList.toggle("one", !pressed);
      for (const point of map.querySelectorAll("circle")) {
        point.classList.toggle("on", !pressed && point.dataset.class === button.dataset.class);
      }
    });
  }
}
