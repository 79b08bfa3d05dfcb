// Draws the map of styles: drag moves; wheel, pinch and buttons zoom; pointing or a tap shows a picture large.
"use strict";
(() => {
  const canvas = document.getElementById("map"), paper = canvas.getContext("2d");
  const atlas = document.getElementById("atlas"), caption = document.getElementById("name");
  const map = JSON.parse(document.getElementById("points").textContent);
  const hint = caption.textContent, fingers = new Map(), [wide, high] = [0, 1].map(extent);
  let zoom = 1, left = wide.middle, top = high.middle, chosen = -1, only = -1; // left, top: the view's middle

  function extent(axis) {
    const values = map.points.map(point => point[axis]), least = Math.min(...values), most = Math.max(...values);
    return { middle: (least + most) / 2, span: Math.max(most - least, .01) };
  }
  const size = () => zoom * Math.min((canvas.clientWidth - 50) / wide.span, (canvas.clientHeight - 50) / high.span);
  const side = () => Math.max(14, Math.min(96, 18 * Math.sqrt(zoom) * Math.min(1.4, canvas.clientWidth / 700 + .5)));
  const across = x => (x - left) * size() + canvas.clientWidth / 2;
  const down = y => (y - top) * size() + canvas.clientHeight / 2;

  function stamp(i, edge, whole = false) { // whole: not cut by the border
    const [x, y, kind] = map.points[i];
    const [column, line] = [[across(x), canvas.clientWidth], [down(y), canvas.clientHeight]].map(([middle, room]) =>
      (whole ? Math.max(edge / 2 + 2, Math.min(room - edge / 2 - 2, middle)) : middle) - edge / 2);
    paper.fillStyle = map.colours[kind];
    paper.fillRect(column - 2, line - 2, edge + 4, edge + 4);
    paper.drawImage(atlas, i % map.columns * map.side, Math.floor(i / map.columns) * map.side, map.side, map.side,
      column, line, edge, edge);
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
    if (chosen >= 0) stamp(chosen, Math.max(96, side() * 1.5), true);
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
    caption.textContent = chosen < 0 ? hint : map.points[chosen][3];
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
    for (const key of event.currentTarget.children) key.ariaPressed = Number(key.dataset.class) === only;
    draw();
  });
  document.getElementById("zoom").addEventListener("click", event => {
    const factor = Number(event.target.dataset.factor);
    if (factor) scale(factor, canvas.clientWidth / 2, canvas.clientHeight / 2);
    else if (factor === 0) {
      [zoom, left, top] = [1, wide.middle, high.middle];
      draw();
    }
  });
  window.addEventListener("resize", draw);
  atlas.decode().then(draw, draw);
})();
