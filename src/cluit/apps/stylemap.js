// Draws the map of styles: drag moves, wheel and pinch zoom, pointing shows a picture large.
"use strict";
(() => {
  const canvas = document.getElementById("map"), paper = canvas.getContext("2d");
  const atlas = document.getElementById("atlas"), caption = document.getElementById("name");
  const map = JSON.parse(document.getElementById("points").textContent);
  const fingers = new Map();
  let zoom = 1, left = 0, top = 0, chosen = -1, only = -1; // left, top: the middle of the view, on the map

  const size = () => Math.min(canvas.clientWidth, canvas.clientHeight) / 2.2 * zoom;
  const side = () => Math.max(14, Math.min(96, 18 * Math.sqrt(zoom) * Math.min(1.4, canvas.clientWidth / 700 + .5)));
  const across = x => (x - left) * size() + canvas.clientWidth / 2;
  const down = y => (y - top) * size() + canvas.clientHeight / 2;

  function stamp(i, edge) {
    const [x, y, kind] = map.points[i], half = edge / 2;
    paper.fillStyle = map.colours[kind];
    paper.fillRect(across(x) - half - 2, down(y) - half - 2, edge + 4, edge + 4);
    paper.drawImage(atlas, i % map.columns * map.side, Math.floor(i / map.columns) * map.side, map.side, map.side,
      across(x) - half, down(y) - half, edge, edge);
  }
  function draw() {
    const dense = window.devicePixelRatio || 1;
    canvas.width = canvas.clientWidth * dense;
    canvas.height = canvas.clientHeight * dense;
    paper.setTransform(dense, 0, 0, dense, 0, 0);
    paper.imageSmoothingEnabled = false;
    map.points.forEach((point, i) => {
      paper.globalAlpha = only < 0 || point[2] === only ? 1 : .08;
      stamp(i, side());
    });
    paper.globalAlpha = 1;
    if (chosen >= 0) stamp(chosen, Math.max(96, side() * 1.5));
  }
  function nearest(x, y) {
    let best = -1, least = side() * .75;
    map.points.forEach((point, i) => {
      if (only >= 0 && point[2] !== only) return;
      const far = Math.max(Math.abs(across(point[0]) - x), Math.abs(down(point[1]) - y));
      if (far <= least) { best = i; least = far; }
    });
    return best;
  }
  function look(x, y) {
    chosen = nearest(x, y);
    caption.textContent = chosen < 0 ? "Point at a picture." : map.points[chosen][3];
    draw();
  }
  function scale(factor, x, y) { // what lies under (x, y) stays there
    const dx = x - canvas.clientWidth / 2, dy = y - canvas.clientHeight / 2, before = size();
    zoom = Math.max(.5, Math.min(40, zoom * factor));
    left += dx / before - dx / size();
    top += dy / before - dy / size();
    draw();
  }
  canvas.addEventListener("wheel", event => {
    event.preventDefault();
    scale(Math.exp(-event.deltaY / 400), event.offsetX, event.offsetY);
  }, { passive: false });
  canvas.addEventListener("pointerdown", event => {
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, event);
    look(event.offsetX, event.offsetY);
  });
  canvas.addEventListener("pointermove", event => {
    const before = fingers.get(event.pointerId);
    if (!before) { look(event.offsetX, event.offsetY); return; }
    const other = [...fingers.values()].find(finger => finger.pointerId !== event.pointerId);
    if (other) {
      const apart = finger => Math.hypot(finger.offsetX - other.offsetX, finger.offsetY - other.offsetY);
      scale(apart(event) / Math.max(1, apart(before)), (event.offsetX + other.offsetX) / 2,
        (event.offsetY + other.offsetY) / 2);
    }
    left -= (event.offsetX - before.offsetX) / size() / fingers.size;
    top -= (event.offsetY - before.offsetY) / size() / fingers.size;
    fingers.set(event.pointerId, event);
    draw();
  });
  for (const end of ["pointerup", "pointercancel"])
    canvas.addEventListener(end, event => fingers.delete(event.pointerId));
  document.getElementById("keys").addEventListener("click", event => {
    const kind = event.target.dataset.class;
    if (kind === undefined) return;
    only = only === Number(kind) ? -1 : Number(kind);
    chosen = -1;
    draw();
  });
  window.addEventListener("resize", draw);
  atlas.decode().then(draw, draw);
})();
