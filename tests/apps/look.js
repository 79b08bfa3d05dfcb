// Measures the page that is open, on a screen WIDTH pixels wide.
(() => {
  const shown = e => e.getClientRects().length > 0;
  const words = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const rgb = text => text.match(/[\d.]+/g).map(Number);
  const light = text => rgb(text).slice(0, 3).map(v => v / 255)
    .map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement, text = walker.currentNode.textContent.trim();
    if (!text || !shown(e)) continue;
    const svg = e.ownerSVGElement, style = getComputedStyle(e);
    let ground = e;
    while (rgb(getComputedStyle(ground).backgroundColor)[3] === 0) ground = ground.parentElement;
    const [a, b] = [svg ? style.fill : style.color, getComputedStyle(ground).backgroundColor].map(light);
    // Labels of charts grow and shrink with them.
    const letter = parseFloat(style.fontSize) * (svg ? svg.getScreenCTM().a : 1);
    words.push({ text, contrast: (Math.max(a, b) + .05) / (Math.min(a, b) + .05), letter });
  }
  const crowded = [], outside = [];
  for (const svg of document.querySelectorAll("svg")) {
    const frame = svg.getBoundingClientRect();
    const boxes = [...svg.querySelectorAll("text")].map(e => [e.textContent, e.getBoundingClientRect()]);
    boxes.forEach(([text, a], i) => {
      if (a.left < frame.left - 1 || a.right > frame.right + 1 || a.bottom > frame.bottom + 1) outside.push(text);
      for (const [other, b] of boxes.slice(i + 1))
        if (a.left < b.right && b.left < a.right && a.top + 3 < b.bottom && b.top + 3 < a.bottom)
          crowded.push(`${text} / ${other}`);
    });
  }
  return {
    wide: document.documentElement.scrollWidth,
    sticking_out: [...document.body.querySelectorAll("*")].filter(e => shown(e) && !e.closest(".scroll table")
      && e.getBoundingClientRect().right > WIDTH + 1).map(e => e.outerHTML.slice(0, 80)),
    cut: [...document.body.querySelectorAll("*")].filter(e => shown(e) && e.clientWidth
      && e.scrollWidth > e.clientWidth + 1 && !e.matches(".scroll") && !e.closest("svg")).map(e => e.outerHTML.slice(0, 80)),
    pictures: [...document.images].map(e => ({ pixels: e.naturalWidth, alt: e.alt, hidden: e.hidden,
      width: e.getBoundingClientRect().width })),
    charts: [...document.querySelectorAll("svg")].map(e => e.getBoundingClientRect().width),
    headings: [...document.querySelectorAll("h1, h2, h3, h4, h5, h6")].map(e => Number(e.tagName[1])),
    words, crowded, outside,
  };
})()
