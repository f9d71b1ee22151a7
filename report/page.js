"use strict";
// Shared by all pages: packed data, a virtual list with only the visible rows in the document, a panel for the opened
// row, and an address that holds the state. A page's own script follows, ends with `begin()` and defines
//   PAGE, KEPT                         what the page is called; names in `state` that "Clear filters" leaves as they are
//   prepare(raw), buildHead(), buildControls()       called once, in this order
//   defaults(), readAddress(), writeAddress()        the state; readAddress() sets `opened`, too
//   matches(query)                     for each row, whether it contains the query
//   select(), showFound(found)         {rows in order, ...} that pass the filters; updates the controls
//   measure(), rowNode(place)          sets `rowHeight`; an element of the list
//   showDetail()                       fills the panel with the row `opened`
const $ = id => document.getElementById(id);
const number = value => value.toLocaleString("en-US");
const fold = text => text.toLowerCase();
const MOST_PIXELS = 8e6;  // browsers cap an element's height; a longer list scrolls proportionally

let data;             // of the file, with the additions of `prepare`
let haystack;         // each row's texts, folded
let state;            // of the controls, the search and the address
let shown = [];       // rows in the list, in order
let active = -1;      // position in `shown`
let opened = -1;      // row of the panel
let rowHeight;        // pixels
const drawn = new Map();      // position in `shown` -> element
const memo = {hits: null, query: null, orders: new Map()};

async function unzipped(base64) {
  const text = atob(base64), bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}

const unpack = async base64 => JSON.parse(new TextDecoder().decode(await unzipped(base64)));

// What `packed` of web/pages.py wrote: the head, with the numbers of each column.
const KINDS_OF_NUMBERS = {u1: Uint8Array, u2: Uint16Array, u4: Uint32Array, i1: Int8Array, i2: Int16Array, i4: Int32Array,
  f4: Float32Array, f8: Float64Array};
async function unpackColumns(base64) {
  const buffer = await unzipped(base64), length = new DataView(buffer).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  for (const [name, [kind, begins, n]] of Object.entries(head.columns))
    head.columns[name] = new KINDS_OF_NUMBERS[kind](buffer, 4 + length + begins, n);
  return head;
}

function make(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

function choose(select, options, change) {
  for (const [key, text] of options) { const option = make("option", "", text); option.value = key; select.append(option); }
  select.addEventListener("change", () => change(select.value));
}

function setHead(name, facts) {
  $("title").replaceChildren(name, make("span", "", ` · leakscope ${PAGE}`));
  for (const [label, text] of facts) {
    const fact = make("div");
    fact.append(make("dt", "", label), make("dd", "", text));
    $("facts").append(fact);
  }
}

// ---- address ---------------------------------------------------------------------------------------------------------
const names = text => text.split(",").filter(Boolean);
// The names of `known` that are among those of `chosen`, in the order of `known`: in an address, "leak,tie".
const among = (known, chosen) => known.map(([name]) => name).filter(name => chosen.includes(name)).join(",");

function toggled(known, chosen, name) {
  const on = new Set(names(chosen));
  if (!on.delete(name)) on.add(name);
  return among(known, [...on]);
}

function showUnknown(unknown, where) {
  $("notice").hidden = !unknown.length;
  $("notice").textContent = `The address asks for ${unknown.join(", ")}, which this ${where} does not have; the rest of the address applies.`;
}

function setAddress(given) {
  // A page inside another (a report) may not be allowed an address of its own; it works without.
  try { history.replaceState(null, "", "#" + given); } catch { /* as said */ }
}

function fromAddress() {
  state = readAddress();
  $("detail").hidden = opened < 0;
  update(opened);
  keepInSight();
}

// ---- list ------------------------------------------------------------------------------------------------------------
function hits() {
  const query = fold(state.q);
  if (memo.query !== query) {
    memo.query = query;
    memo.hits = query ? matches(query) : null;
  }
  return memo.hits;
}

function update(kept = active >= 0 ? shown[active] : -1) {
  const start = performance.now(), found = select();
  shown = found.rows;
  active = kept < 0 ? -1 : shown.indexOf(kept);
  showFound(found);
  if ($("search").value !== state.q) $("search").value = state.q;
  $("shown").textContent = number(shown.length);
  $("nothing").hidden = shown.length > 0;
  $("scroller").scrollTop = 0;
  redraw();
  if (opened >= 0) showDetail();
  writeAddress();
  performance.measure("update", {start});
}

function redraw() {
  measure();
  $("list").style.setProperty("--row", rowHeight + "px");
  for (const node of drawn.values()) node.remove();
  drawn.clear();
  $("canvas").style.height = Math.min(shown.length * rowHeight, MOST_PIXELS) + "px";
  draw();
}

// Distance in pixels from the list's true top to the top of the window.
function offset() {
  const scroller = $("scroller"), all = shown.length * rowHeight, room = Math.min(all, MOST_PIXELS) - scroller.clientHeight;
  return room > 0 ? scroller.scrollTop * (all - scroller.clientHeight) / room : 0;
}

function scrollList(top) {
  const all = shown.length * rowHeight, height = $("scroller").clientHeight;
  $("scroller").scrollTop = Math.max(0, top) * (Math.min(all, MOST_PIXELS) - height) / Math.max(1, all - height);
}

function draw() {
  const scroller = $("scroller"), top = offset();
  const first = Math.max(0, Math.floor(top / rowHeight) - 3);
  const last = Math.min(shown.length, Math.ceil((top + scroller.clientHeight) / rowHeight) + 3);
  for (const [place, node] of drawn) if (place < first || place >= last) { node.remove(); drawn.delete(place); }
  for (let place = first; place < last; place++) {
    if (!drawn.has(place)) { const node = rowNode(place); drawn.set(place, node); $("canvas").append(node); }
    drawn.get(place).style.top = scroller.scrollTop + place * rowHeight - top + "px";
  }
  if (drawn.has(active)) scroller.setAttribute("aria-activedescendant", "row-" + active);
  else scroller.removeAttribute("aria-activedescendant");
}

// An empty element of the list, to be filled by `rowNode`.
function emptyRow(place) {
  const node = make("div", "row");
  node.id = "row-" + place;
  node.dataset.place = place;
  for (const [name, text] of [["role", "option"], ["aria-setsize", shown.length], ["aria-posinset", place + 1],
    ["aria-selected", place === active]]) node.setAttribute(name, text);
  return node;
}

function move(place) {
  if (!shown.length) return;
  active = Math.min(shown.length - 1, Math.max(0, place));
  const top = offset(), at = active * rowHeight, height = $("scroller").clientHeight;
  if (at < top) scrollList(at);
  else if (at + rowHeight > top + height) scrollList(at + rowHeight - height);
  for (const [seen, node] of drawn) node.setAttribute("aria-selected", seen === active);
  draw();
  if (opened >= 0) open(shown[active]);
}

// ---- panel -----------------------------------------------------------------------------------------------------------
function open(row) {
  opened = row;
  const before = $("list").clientWidth;
  showDetail();
  if ($("list").clientWidth !== before) keepInSight();
  writeAddress();
}

function close() {
  opened = -1;
  const before = $("list").clientWidth;
  $("detail").hidden = true;
  if ($("list").clientWidth !== before) keepInSight();
  $("scroller").focus({preventScroll: true});
  writeAddress();
}

// The panel changes the list's width and so its rows' height: redraw with the active row in view.
function keepInSight() {
  redraw();
  if (active < 0) return;
  const at = active * rowHeight, top = offset(), height = $("scroller").clientHeight;
  if (at < top || at + rowHeight > top + height) scrollList(at - height / 3);
  draw();
}

// ---- events ----------------------------------------------------------------------------------------------------------
const isTyping = event => /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
const isPlain = event => !(event.ctrlKey || event.metaKey || event.altKey);

function onKey(event) {
  if (!isPlain(event)) return;
  if (event.key === "Escape" && opened >= 0) { close(); event.preventDefault(); return; }
  if (event.key === "/" && !isTyping(event)) { $("search").focus(); $("search").select(); event.preventDefault(); return; }
  if (event.key === "ArrowDown" && event.target === $("search")) $("scroller").focus();
  if (event.target !== $("scroller") && document.activeElement !== $("scroller")) return;
  const page = Math.max(1, Math.floor($("scroller").clientHeight / rowHeight) - 1);
  const places = {ArrowDown: active + 1, ArrowUp: active - 1, PageDown: active + page, PageUp: active - page, Home: 0,
    End: shown.length - 1};
  if (event.key in places) { move(places[event.key]); event.preventDefault(); }
  else if (event.key === "Enter" && active >= 0) { open(shown[active]); event.preventDefault(); }
}

function bindEvents() {
  let waiting = false, timer = 0;
  $("search").addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => { state.q = $("search").value; update(); }, 120);
  });
  $("reset").addEventListener("click", () => {
    clearTimeout(timer);
    state = Object.assign(defaults(), Object.fromEntries(KEPT.map(name => [name, state[name]])));
    update();
  });
  $("scroller").addEventListener("scroll", () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; draw(); });
  });
  $("canvas").addEventListener("click", event => {
    const node = event.target.closest(".row");
    if (!node || String(getSelection())) return;  // selecting text in a row is not a click on it
    opened = -1;
    move(+node.dataset.place);
    open(shown[active]);
  });
  document.addEventListener("keydown", onKey);
  window.addEventListener("hashchange", fromAddress);
  window.addEventListener("resize", keepInSight);
}

async function load(read) {
  if (typeof DecompressionStream === "undefined")
    throw new Error("This browser is too old to unpack the page's data: it lacks DecompressionStream "
      + "(Chrome and Edge 80, Firefox 113, Safari 16.4 and later have it).");
  const start = performance.now();
  prepare(await read($("data").textContent));
  $("data").textContent = "";
  state = defaults();
  buildHead();
  $("total").textContent = number(data.n);
  buildControls();
  bindEvents();
  fromAddress();
  performance.measure("load", {start});
  document.body.dataset.ready = "yes";
}

// `read` unpacks the page's data: `unpack` JSON, `unpackColumns` columns of numbers.
function begin(read = unpack) {
  load(read).catch(error => {
    $("nothing").textContent = error.message;
    $("notice").hidden = false;
    $("notice").textContent = error.message;
  });
}
