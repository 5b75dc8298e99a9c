// Drawing: the spectra, and one interval. Text goes in as text nodes only.

const SVG = "http://www.w3.org/2000/svg";

export function svg(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes ?? {})) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

/** Round numbers that divide [low, high] into about `count` parts. */
export function ticks(low, high, count) {
  const raw = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((k) => k * power).find((s) => s >= raw);
  const found = [];
  for (let v = Math.ceil(low / step) * step; v <= high + step * 1e-9; v += step) found.push(Number(v.toPrecision(12)));
  return found;
}

/** Draw spectra; `outside[i]` colours one, `point(i or null)` is told which one the pointer is at. */
export function drawSpectra(target, preview, outside, point) {
  const width = 1120, height = 340, left = 56, right = 12, top = 10, bottom = 44;
  const x = preview.positions;
  // The spectra inside set the scale: one in percent among fractions must not press the others flat.
  const trusted = preview.intensities.filter((_, i) => !outside[i]);
  const values = (trusted.length ? trusted : preview.intensities).flat().filter((v) => v !== null);
  let low = Math.min(...values), high = Math.max(...values);
  if (!(high > low)) { low -= 0.5; high += 0.5; }
  const pad = (high - low) * 0.04;
  low -= pad; high += pad;
  const first = Math.min(...x), last = Math.max(...x);
  // Wavenumbers run from right to left, as spectroscopists read them.
  const share = (v) => (preview.unit === "cm-1" ? (last - v) / (last - first) : (v - first) / (last - first));
  const px = (v) => left + share(v) * (width - left - right);
  const py = (v) => top + (1 - (v - low) / (high - low)) * (height - top - bottom);

  const drawn = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "the spectra" });
  const frame = svg("clipPath", { id: "frame" });
  frame.append(svg("rect", { x: left, y: top, width: width - left - right, height: height - top - bottom }));
  drawn.append(frame);
  for (const v of ticks(low, high, 5)) {
    drawn.append(svg("line", { class: "grid", x1: left, x2: width - right, y1: py(v), y2: py(v) }));
    drawn.append(svg("text", { class: "tick", x: left - 8, y: py(v) + 4, "text-anchor": "end" }, String(v)));
  }
  for (const v of ticks(first, last, 8)) {
    drawn.append(svg("text", { class: "tick", x: px(v), y: height - bottom + 18, "text-anchor": "middle" }, String(v)));
  }
  const unit = preview.unit === "cm-1" ? "wavenumber, cm⁻¹" : "wavelength, nm";
  drawn.append(svg("text", { class: "axis-name", x: width - right, y: height - 6, "text-anchor": "end" }, unit));
  const scale = preview.scale === "percent" ? `${preview.quantity}, %` : preview.quantity;
  drawn.append(svg("text", { class: "axis-name", x: left, y: height - 6 }, scale));

  const paths = preview.intensities.map((row, i) => {
    let d = "", pen = false;
    row.forEach((v, k) => {
      if (v === null) { pen = false; return; }
      d += `${pen ? "L" : "M"}${px(x[k]).toFixed(1)} ${py(v).toFixed(1)}`;
      pen = true;
    });
    const path = svg("path", { class: outside[i] ? "spectrum outside" : "spectrum", d, "clip-path": "url(#frame)" });
    drawn.append(path);
    return path;
  });
  drawn.addEventListener("pointermove", (event) => {
    const box = drawn.getBoundingClientRect();
    const at = ((event.clientX - box.left) / box.width) * width;
    const up = ((event.clientY - box.top) / box.height) * height;
    let k = 0;
    x.forEach((v, i) => { if (Math.abs(px(v) - at) < Math.abs(px(x[k]) - at)) k = i; });
    let best = null, distance = 30;
    preview.intensities.forEach((row, i) => {
      const d = row[k] === null ? Infinity : Math.abs(py(row[k]) - up);
      if (d < distance) { best = i; distance = d; }
    });
    point(best);
  });
  drawn.addEventListener("pointerleave", () => point(null));
  target.replaceChildren(drawn);
  return paths;
}

/** Return a bar: the trained range as track, two intervals, the value as a dot. */
export function intervalBar(prediction, range, low, high) {
  const width = 150, edge = 4;
  const at = (v) => edge + Math.min(1, Math.max(0, (v - low) / (high - low || 1))) * (width - 2 * edge);
  const drawn = svg("svg", { viewBox: `0 0 ${width} 14`, "aria-hidden": "true" });
  const bar = (kind, from, to, y, h) =>
    drawn.append(svg("rect", { class: kind, x: at(from), y, width: Math.max(1, at(to) - at(from)), height: h, rx: h / 2 }));
  bar("t", range[0], range[1], 2, 10);
  const spans = [...prediction.intervals].sort((a, b) => b.level - a.level);
  const ends = (i) => [i.lower ?? low, i.upper ?? high];
  if (prediction.value === null) return drawn;
  const wide = spans.find((i) => i.level <= 0.9) ?? spans[0], narrow = spans.at(-1);
  if (wide) bar("w", ...ends(wide), 4, 6);
  if (narrow && narrow !== wide) bar("n", ...ends(narrow), 5, 4);
  drawn.append(svg("circle", { class: "d", cx: at(prediction.value), cy: 7, r: 3.2 }));
  return drawn;
}
