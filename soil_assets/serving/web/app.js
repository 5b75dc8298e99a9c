// The page: a file goes to /v1/predict as it is; what comes back is drawn. Whatever a file or a server says is put
// in as text, never as markup.

import { drawSpectra, intervalBar } from "./plot.js";

const ROWS = 200;
const byId = (id) => document.getElementById(id);
let key = "", models = [], answer = null, paths = [], lastFile = null;

function node(name, props, ...children) {
  const made = document.createElement(name);
  Object.assign(made, props ?? {});
  made.append(...children);
  return made;
}

const headers = (more) => (key ? { ...more, Authorization: `Bearer ${key}` } : { ...more });
const unitOf = (unit) => (unit === "index" || unit === "-" ? "" : unit);
const short = (v) => (v === null ? "–" : Number(v.toPrecision(3)).toLocaleString("en", { maximumSignificantDigits: 3 }));

async function askModels() {
  const said = byId("models");
  try {
    const reply = await fetch("v1/models", { headers: headers() });
    const body = await reply.json();
    byId("key-form").hidden = reply.status !== 401;
    if (!reply.ok) {
      said.textContent = body.error.what;
      return;
    }
    models = body.models;
    said.textContent = models.map((m) => `${m.label}, version ${m.version}`).join("  ·  ");
  } catch {
    said.textContent = "the service does not answer";
  }
}

async function send(file) {
  lastFile = file;
  const drop = byId("drop");
  const query = new URLSearchParams({ filename: file.name, preview: "true" });
  const [quantity, scale] = byId("quantity").value.split("/");
  if (quantity) query.set("quantity", quantity);
  if (scale) query.set("scale", scale);
  if (byId("axis-unit").value) query.set("axis_unit", byId("axis-unit").value);
  drop.classList.add("busy");
  byId("said").replaceChildren(node("p", { className: "quiet", textContent: `reading ${file.name} …` }));
  byId("result").hidden = true;
  try {
    const reply = await fetch(`v1/predict?${query}`, {
      method: "POST", body: file, headers: headers({ "Content-Type": "application/octet-stream" }),
    });
    const body = await reply.json();
    if (reply.status === 401) byId("key-form").hidden = false;
    if (reply.ok) show(body);
    else problem(body.error);
  } catch {
    problem({ what: "the service did not answer", mend: "look whether it runs, and send the file again" });
  } finally {
    drop.classList.remove("busy");
  }
}

function problem(error) {
  const facts = ["file", "row", "column", "found", "expected", "mend"].filter((k) => error[k] !== undefined && error[k] !== null);
  const names = { mend: "to mend it" };
  const list = node("dl", {}, ...facts.flatMap((k) => [
    node("dt", { textContent: names[k] ?? k }), node("dd", { textContent: String(error[k]) })]));
  byId("said").replaceChildren(node("div", { className: "problem" }, node("strong", { textContent: error.what }), list));
}

function show(body) {
  answer = body;
  byId("said").replaceChildren();
  byId("result").hidden = false;
  const outside = body.samples.map((s) => Object.values(s.predictions).some((p) => !p.inside));
  const count = outside.filter(Boolean).length, warned = body.samples.filter((s) => s.warnings.length).length;
  const chip = (kind, text) => node("span", { className: `chip ${kind}`, textContent: text });
  byId("summary").replaceChildren(
    chip("", `${body.n} ${body.n === 1 ? "spectrum" : "spectra"}`),
    ...(body.n > count ? [chip("good", `${body.n - count} inside what the models know`)] : []),
    ...(count ? [chip("warn", `${count} outside: do not rely on them`)] : []),
    ...(warned ? [chip("warn", `${warned} with warnings`)] : []),
  );
  paths = drawSpectra(byId("plot"), body.preview, outside, point);
  table(body);
  byId("more").textContent = body.n > ROWS ? `The first ${ROWS} of ${body.n} rows; the CSV has all of them.` : "";
  byId("notes").replaceChildren(...body.notes.map((n) => node("li", { textContent: n })));
}

function table(body) {
  const props = Object.keys(body.samples[0].predictions);
  const about = Object.fromEntries(props.map((p) => [p, models.find((m) => m.property === p)]));
  const levels = body.samples[0].predictions[props[0]].intervals.map((i) => i.level).sort((a, b) => b - a);
  const wide = levels.find((v) => v <= 0.9) ?? levels[0], narrow = levels.at(-1);
  byId("wide").textContent = `${Math.round(wide * 100)} % interval`;
  byId("narrow").textContent = `${Math.round(narrow * 100)} %`;
  const head = props.map((p) => node("th", {}, about[p]?.label ?? p,
    node("small", { textContent: [unitOf(body.samples[0].predictions[p].unit), `version ${body.samples[0].predictions[p].version}`].filter(Boolean).join(" · ") })));
  byId("head").replaceChildren(node("tr", {}, node("th", { textContent: "Sample" }), ...head, node("th", { textContent: "Applicability" })));

  const scales = Object.fromEntries(props.map((p) => {
    const of = body.samples.map((s) => s.predictions[p]), range = about[p]?.range ?? [0, 1];
    const spread = range[1] - range[0];
    const seen = of.flatMap((v) => [v.value, ...v.intervals.flatMap((i) => [i.lower, i.upper])]).filter((v) => v !== null);
    // One wild sample must not shrink the others to dots: half a range beyond the trained one is as far as it goes.
    return [p, [Math.max(range[0] - spread / 2, Math.min(range[0], ...seen)), Math.min(range[1] + spread / 2, Math.max(range[1], ...seen)), range]];
  }));

  const several = new Set(body.samples.map((s) => s.file)).size > 1;
  byId("rows").replaceChildren(...body.samples.slice(0, ROWS).map((sample, i) => {
    const cells = props.map((p) => {
      const said = sample.predictions[p], [low, high, range] = scales[p];
      const span = said.intervals.find((v) => v.level === wide);
      const text = said.value === null ? "" : `${short(span?.lower ?? null)} – ${short(span?.upper ?? null)}`;
      return node("td", { className: said.inside ? "" : "outside" },
        node("div", { className: "value" }, node("b", { textContent: short(said.value) }), node("span", { className: "span", textContent: text })),
        intervalBar(said, range, low, high));
    });
    const place = [several ? sample.file : "", sample.row ? `row ${sample.row}` : ""].filter(Boolean).join(", ");
    const name = node("td", { className: "name" }, sample.id, node("small", { textContent: place }));
    const row = node("tr", { tabIndex: 0 }, name, ...cells, node("td", { className: "why" }, ...why(sample, about)));
    row.addEventListener("pointerenter", () => point(i));
    row.addEventListener("focus", () => point(i));
    row.addEventListener("pointerleave", () => point(null));
    row.addEventListener("blur", () => point(null));
    return row;
  }));
}

/** Say once what is the same for every property. */
function why(sample, about) {
  const entries = Object.entries(sample.predictions), out = entries.filter(([, p]) => !p.inside);
  const badge = out.length
    ? node("span", { className: "badge warn", textContent: out.length === entries.length ? "outside" : `outside for ${out.map(([n]) => about[n]?.label ?? n).join(", ")}` })
    : node("span", { className: "badge good", textContent: "inside" });
  const reasons = new Set([...sample.warnings, ...out.flatMap(([, p]) => p.reason.split("; ").filter(Boolean))]);
  if (sample.warnings.length) reasons.delete("impossible intensities"); // the warning says more
  return [badge, ...[...reasons].map((r) => node("p", { textContent: r }))];
}

function point(index) {
  byId("pointed").textContent = index === null ? "" : answer.samples[index].id;
  paths.forEach((path, i) => path.classList.toggle("on", i === index));
  [...byId("rows").children].forEach((row, i) => row.classList.toggle("on", i === index));
  if (index !== null && paths[index]) paths[index].parentNode.append(paths[index]);
}

function csv() {
  const props = Object.keys(answer.samples[0].predictions);
  // A cell that a spreadsheet would take for a formula is kept as text.
  const cell = (v) => {
    const text = v === null || v === undefined ? "" : String(v);
    const safe = typeof v === "string" && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
    return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };
  const columns = props.flatMap((p) => [p, `${p}_unit`, ...answer.samples[0].predictions[p].intervals.flatMap((i) =>
    [`${p}_lower_${i.level * 100}`, `${p}_upper_${i.level * 100}`]), `${p}_inside`, `${p}_reason`, `${p}_version`]);
  const lines = answer.samples.map((s) => [s.id, ...props.flatMap((p) => {
    const said = s.predictions[p];
    return [said.value, said.unit, ...said.intervals.flatMap((i) => [i.lower, i.upper]), said.inside, said.reason, said.version];
  }), s.warnings.join("; ")]);
  const text = [["sample_id", ...columns, "warnings"], ...lines].map((r) => r.map(cell).join(",")).join("\r\n");
  const link = node("a", { href: URL.createObjectURL(new Blob([text], { type: "text/csv" })), download: "predictions.csv" });
  link.click();
  URL.revokeObjectURL(link.href);
}

const drop = byId("drop");
for (const kind of ["dragenter", "dragover"]) drop.addEventListener(kind, (e) => { e.preventDefault(); drop.classList.add("over"); });
for (const kind of ["dragleave", "drop"]) drop.addEventListener(kind, () => drop.classList.remove("over"));
drop.addEventListener("drop", (e) => { e.preventDefault(); if (e.dataTransfer.files[0]) send(e.dataTransfer.files[0]); });
drop.addEventListener("keydown", (e) => { if (e.key === "Enter" || e.key === " ") { e.preventDefault(); byId("file").click(); } });
byId("file").addEventListener("change", (e) => { if (e.target.files[0]) send(e.target.files[0]); e.target.value = ""; });
for (const id of ["quantity", "axis-unit"]) byId(id).addEventListener("change", () => { if (lastFile) send(lastFile); });
byId("save").addEventListener("click", csv);
byId("key-form").addEventListener("submit", async (e) => {
  e.preventDefault();
  key = byId("key").value.trim();
  await askModels();
  if (byId("key-form").hidden && lastFile) send(lastFile);
});
window.addEventListener("dragover", (e) => e.preventDefault());
window.addEventListener("drop", (e) => e.preventDefault());
askModels();
