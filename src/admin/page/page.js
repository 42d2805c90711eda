// Draws what weir tells once a second. It reckons nothing, and changes nothing but this page; what it is told it writes as text.
"use strict";

const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";

// How long a weir that tells something each second may say nothing, and how long until it is asked again.
const SILENCE = 6000;
const AGAIN = [1000, 1000, 2000, 3000, 5000];

// ---------------------------------------------------------------------------------------------------------------- words

const count = new Intl.NumberFormat("en");
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

function rate(n) {
  return n >= 100 || n === 0 ? count.format(Math.round(n)) : n.toFixed(1);
}

function time(ms) {
  if (ms === null || ms === undefined) return "";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const s = ms / 1000;
  if (s < 10) return `${s.toFixed(1)} s`;
  if (s < 120) return `${Math.round(s)} s`;
  if (s < 7200) return `${Math.round(s / 60)} min`;
  if (s < 172800) return `${Math.round(s / 3600)} h`;
  return `${Math.round(s / 86400)} d`;
}

function bytes(n) {
  if (n === null || n === undefined) return "";
  const units = ["B", "kB", "MB", "GB", "TB"];
  let at = 0;
  while (n >= 1000 && at < units.length - 1) { n /= 1000; at += 1; }
  return `${at === 0 || n >= 100 ? Math.round(n) : n.toFixed(1)} ${units[at]}`;
}

// Never rounded up to all, nor down to none.
function percent(part, all) {
  const share = 100 * part / all;
  if (share <= 0 || share >= 100) return `${Math.round(share)} %`;
  return share > 90 ? `${Math.min(99.9, share).toFixed(1)} %` : `${Math.max(1, share).toFixed(0)} %`;
}

function when(ms, now) {
  const at = new Date(ms);
  return now - ms > 20 * 3600 * 1000 ? `${day.format(at)} ${clock.format(at)}` : clock.format(at);
}

const WORDS = {
  idle_in_transaction: "idle in transaction",
  none: "without a connection", replica: "on a replica", upgraded: "read elsewhere, then primary", primary: "on the primary",
};
const word = (key) => WORDS[key] || key;

// ------------------------------------------------------------------------------------------------------------- elements

function set(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function make(tag, cls, text) {
  const element = document.createElement(tag);
  if (cls) element.className = cls;
  if (text !== undefined) element.textContent = text;
  return element;
}

// A cell: { t: text, c: class, is: state, title, parts: [[tag, class, text] ...], draw: (cell) => ... }, or a text.
function fill(cell, what) {
  const is = typeof what === "string" ? { t: what } : what;
  const mark = JSON.stringify(is, (key, value) => (typeof value === "function" ? String(is.mark) : value));
  if (cell.dataset.mark === mark) return;
  cell.dataset.mark = mark;
  cell.className = is.c || "";
  if (is.is) cell.dataset.is = is.is; else delete cell.dataset.is;
  if (is.title) cell.title = is.title; else cell.removeAttribute("title");
  if (is.draw) cell.replaceChildren(is.draw());
  else if (is.parts) cell.replaceChildren(...is.parts.filter((part) => part[2]).map((part) => make(...part)));
  else set(cell, is.t || "");
}

// Rows are kept and filled anew, so that what is selected, focused or scrolled stays so. The first cell heads its row.
function rows(id, all) {
  const body = $(id);
  if (all.length === 0 && body.dataset.empty) {
    const span = body.closest("table").tHead.rows[0].cells.length;
    const row = make("tr"), cell = make("td", "empty", body.dataset.empty);
    cell.colSpan = span;
    row.append(cell);
    body.replaceChildren(row);
    return;
  }
  if (body.rows.length && body.rows[0].cells[0].className === "empty") body.replaceChildren();
  while (body.rows.length > all.length) body.deleteRow(-1);
  all.forEach((cells, at) => {
    let row = body.rows[at];
    if (!row) {
      row = body.insertRow();
      cells.forEach((_, nth) => row.append(make(nth === 0 ? "th" : "td")));
      row.cells[0].scope = "row";
    }
    cells.forEach((cell, nth) => fill(row.cells[nth], cell));
  });
}

function svg(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

// Connections: in use, of these kept for nothing, and idle, of those that there may be.
function gauge(active, idle, held, most, words) {
  const all = Math.max(most, active + idle, 1);
  return {
    mark: [active, idle, held, most, words],
    draw: () => {
      const out = make("span", "gauge");
      const bar = svg("svg", { viewBox: "0 0 100 6", preserveAspectRatio: "none", "aria-hidden": "true" });
      let x = 0;
      for (const [cls, n] of [["a", active - held], ["h", held], ["i", idle]]) {
        const width = 100 * n / all;
        if (n > 0) bar.append(svg("rect", { class: cls, x, y: 0, width, height: 6 }));
        x += width;
      }
      out.append(bar, make("span", "", words));
      return out;
    },
  };
}

// ------------------------------------------------------------------------------------------------------------- sections

function verdict(seen) {
  const { level, says, also } = seen.verdict;
  $("verdict").dataset.level = level;
  set($("says"), says);
  // Said aloud when something has changed, and not for each second's share of reads.
  set($("spoken"), level === "well" ? "All is well." : says);
  const list = $("also");
  while (list.children.length > also.length) list.lastChild.remove();
  also.forEach((text, at) => set(list.children[at] || list.appendChild(make("li")), text));
  document.title = level === "well" ? "weir" : `${level === "trouble" ? "✕" : "!"} weir`;
  set($("version"), `${seen.weir.version}, up ${time(seen.weir.up_seconds * 1000)}`);
}

function servers(seen) {
  const now = seen.weir.at_ms;
  rows("servers-rows", seen.servers.map((server) => {
    const { active, idle, opening, waiting, most } = server.load;
    const happened = server.happened;
    const last = happened ? `${happened.text}, ${time(now - happened.at_ms)} ago` : "";
    const opens = opening > 0 ? `, ${opening} opening` : "";
    return [
      { t: server.name, title: [server.address, server.encryption].filter(Boolean).join(", ") },
      { t: server.role, is: server.role },
      { t: server.health, is: server.health },
      { t: time(server.staleness_ms), c: "n" },
      { t: bytes(server.lag_bytes), c: "n" },
      gauge(active, idle, 0, most, `${active} in use, ${idle} idle${opens}`),
      { t: String(waiting), c: waiting > 0 ? "n warn" : "n s" },
      { c: "wide", parts: [["span", server.trouble ? "warn" : "s", server.trouble || last]] },
    ];
  }));
}

const LINE = { width: 240, height: 60 };

function points(values, most) {
  const step = LINE.width / 59, from = 60 - values.length;
  return values.map((value, at) => {
    const x = ((from + at) * step).toFixed(1), y = (LINE.height - LINE.height * value / most).toFixed(1);
    return `${at === 0 ? "M" : "L"}${x} ${y}`;
  }).join("");
}

// A scale that all lines share, so that they can be compared; it moves in steps, not with each value.
function ceiling(n) {
  const power = 10 ** Math.floor(Math.log10(Math.max(n, 10)));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((step) => step * power).find((step) => step >= n);
}

function traffic(seen) {
  const lines = seen.traffic.servers, box = $("lines");
  const most = ceiling(Math.max(...lines.flatMap((line) => [...line.reads, ...line.writes]), 1));
  while (box.children.length > lines.length) box.lastChild.remove();
  lines.forEach((line, at) => {
    const figure = box.children[at] || box.appendChild(drawing());
    const [reads, writes] = [line.reads.at(-1) || 0, line.writes.at(-1) || 0];
    set(figure.querySelector("b"), line.server);
    set(figure.querySelector(".r"), `${rate(reads)} r/s`);
    set(figure.querySelector(".wr"), `${rate(writes)} w/s`);
    const path = points(line.reads, most);
    const first = ((60 - line.reads.length) * LINE.width / 59).toFixed(1);
    figure.querySelector(".reads").setAttribute("d", path);
    figure.querySelector(".area").setAttribute("d", path && `${path}V${LINE.height}H${first}Z`);
    // Of a server that nobody writes to there is no line along the bottom.
    const written = line.writes.some((value) => value > 0);
    figure.querySelector(".writes").setAttribute("d", written ? points(line.writes, most) : "");
    set(figure.querySelector(".most"), `${count.format(most)} a second at the top`);
    const words = `${line.server}: ${rate(reads)} reads and ${rate(writes)} writes a second`;
    figure.querySelector("svg").setAttribute("aria-label", words);
  });
}

function drawing() {
  const figure = make("figure", "line"), caption = make("figcaption"), axis = make("p", "ax");
  caption.append(make("b"), make("span", "r"), make("span", "wr"));
  const picture = svg("svg", { viewBox: `0 0 ${LINE.width} ${LINE.height}`, preserveAspectRatio: "none", role: "img" });
  for (const cls of ["area", "writes", "reads"]) picture.append(svg("path", { class: cls }));
  axis.append(make("span", "", "a minute ago"), make("span", "most"), make("span", "", "now"));
  figure.append(caption, picture, axis);
  return figure;
}

function reads(seen) {
  const { minute, start, kept, shapes } = seen.reads;
  const [lately, ever] = [minute.replicas + minute.primary, start.replicas + start.primary];
  set($("share"), lately ? percent(minute.replicas, lately) : "–");
  $("share-bar").style.width = lately ? `${100 * minute.replicas / lately}%` : "0";
  set($("share-sub"), lately ? `of ${count.format(lately)} reads in the last minute` : "no read in the last minute");
  set($("share-start"), ever ? `${percent(start.replicas, ever)} of ${count.format(ever)} since the start` : "");
  rows("kept-rows", kept.map((one) => [
    { t: one.reason, c: "reason" },
    { t: count.format(one.minute), c: one.minute ? "n" : "n s" },
    { t: count.format(one.start), c: "n s" },
    { t: one.what_to_do, c: "s wide" },
  ]));
  rows("shapes-rows", shapes.map((shape) => [
    { parts: [["code", "", shape.text], ["span", "do", shape.what_to_do]] },
    { t: shape.reason, c: "reason" },
    { t: count.format(shape.calls), c: "n" },
    { t: time(shape.total_ms), c: "n" },
    { c: "s", parts: [["span", "", shape.application], ["span", "do", `${shape.user} in ${shape.database}`]] },
  ]));
}

function transactions(seen) {
  const order = ["none", "replica", "upgraded", "primary"], all = seen.transactions;
  const of = (ran) => all.filter((one) => one.ran === ran).reduce((sum, one) => sum + one.count, 0);
  const sums = order.map((ran) => [ran, of(ran)]).filter(([, sum]) => sum > 0), stack = $("ran");
  const total = sums.reduce((sum, [, more]) => sum + more, 0);
  stack.hidden = total === 0;
  const parts = sums.map(([ran, sum]) => {
    const part = [...stack.children].find((one) => one.dataset.ran === ran) || make("i");
    part.dataset.ran = ran;
    part.style.flexGrow = String(sum);
    return part;
  });
  if (parts.length !== stack.children.length || parts.some((part, at) => stack.children[at] !== part)) stack.replaceChildren(...parts);
  stack.setAttribute("aria-label", sums.map(([ran, sum]) => `${percent(sum, total)} ${word(ran)}`).join(", "));
  rows("ran-rows", all.map((one) => [
    { c: "w", parts: [["span", "", word(one.ran)]], is: one.ran },
    { parts: [["span", "reason", one.reason], ["span", "do", one.what_to_do]] },
    { t: count.format(one.count), c: "n" },
  ]));
  [...$("ran-rows").rows].forEach((row, at) => {
    const label = row.cells[0].firstElementChild;
    if (label && all[at]) { label.className = "dot"; label.dataset.ran = all[at].ran; }
  });
}

function pools(seen) {
  rows("pools-rows", seen.pools.map((pool) => {
    const held = pool.pinned + pool.idle_in_transaction;
    const opening = pool.opening > 0 ? ` (+${pool.opening})` : "";
    return [
      { parts: [["span", "", pool.server], ["span", "do", `${pool.user} in ${pool.database}`]] },
      gauge(pool.active, pool.idle, Math.min(held, pool.active), pool.size, `${pool.active} of ${pool.size}${opening}`),
      { t: String(pool.idle), c: "n s" },
      { t: String(pool.waiting), c: pool.waiting > 0 ? "n warn" : "n s" },
      { t: String(held), c: held > 0 ? "n" : "n s", title: `${pool.pinned} pinned, ${pool.idle_in_transaction} idle in transaction` },
    ];
  }));
  rows("pins-rows", seen.pins.map((pin) => [
    { parts: [["span", "", pin.application || pin.user], ["span", "do", `${pin.user} in ${pin.database}, ${pin.id}`]] },
    { parts: [["span", "reason", pin.reasons.join(", ")], ["span", "do", pin.what_to_do]] },
    { t: time(pin.seconds * 1000), c: "n" },
  ]));
}

function clients(seen) {
  const all = seen.clients, now = seen.weir.at_ms;
  const parts = [[all.active, "at work"], [all.waiting, "waiting"], [all.idle_in_transaction, "idle in transaction"],
    [all.pinned, "pinned"], [all.idle, "idle"]].filter(([n]) => n > 0).map(([n, what]) => `${count.format(n)} ${what}`);
  const shown = all.top.length < all.all ? `; ${all.top.length} are shown` : "";
  set($("clients-sub"), all.all ? `${count.format(all.all)}: ${parts.join(", ")}${shown}` : "");
  rows("clients-rows", all.top.map((one) => [
    { t: one.application || "–" },
    { t: `${one.user} in ${one.database}`, c: "s" },
    { t: word(one.state), c: "w", is: one.state },
    { t: time(one.for_ms), c: "n" },
    { t: one.server || "", c: "w" },
    { t: one.peer, c: "s w" },
    { t: time(now - one.since_ms), c: "n s", title: new Date(one.since_ms).toLocaleString() },
  ]));
}

function events(seen) {
  rows("events-rows", seen.events.map((one) => [
    { t: when(one.at_ms, seen.weir.at_ms), c: "s w" },
    { t: one.of || one.kind, c: "w" },
    { t: one.text },
  ]));
}

function draw(seen) {
  for (const part of [verdict, servers, traffic, reads, transactions, pools, clients, events]) part(seen);
  $("main").hidden = false;
}

// -------------------------------------------------------------------------------------------------------------- the link

let source = null, last = null, tries = 0, paused = false, silence = 0, again = 0;

function link(is, words) {
  document.body.dataset.link = is;
  $("link").dataset.is = is;
  set($("link"), words);
}

function open() {
  close();
  if (!document.body.dataset.link) link("connecting", "connecting");
  source = new EventSource("events");
  source.onmessage = (event) => {
    tries = 0;
    last = Date.now();
    listen();
    if (paused) return;
    $("broken").hidden = true;
    link("live", "live");
    draw(JSON.parse(event.data));
  };
  source.onerror = lost;
  listen();
}

function close() {
  clearTimeout(silence);
  clearTimeout(again);
  if (source) source.close();
  source = null;
}

function listen() {
  clearTimeout(silence);
  silence = setTimeout(lost, SILENCE);
}

// It is asked again and again: by this clock and not by the browser's, which gives up when a proxy answers in weir's place.
function lost() {
  close();
  const pause = AGAIN[Math.min(tries, AGAIN.length - 1)];
  tries += 1;
  const since = last ? ` What you see is from ${clock.format(new Date(last))}.` : "";
  link("lost", "no connection");
  set($("broken"), `weir does not answer.${since} It is asked again every few seconds; it may have ended, its page may be turned off, or too many watch it.`);
  $("broken").hidden = false;
  again = setTimeout(open, pause);
}

function pause() {
  paused = !paused;
  $("pause").setAttribute("aria-pressed", String(paused));
  set($("pause"), paused ? "Resume" : "Pause");
  if (paused) link("paused", last ? `as of ${clock.format(new Date(last))}` : "paused");
  else open();
}

// ------------------------------------------------------------------------------------------------------------------ keys

const SECTIONS = ["servers", "traffic", "reads", "transactions", "pools", "clients", "events"];

function go(id) {
  const heading = $(`${id}-h`);
  heading.tabIndex = -1;
  $(id).scrollIntoView();
  heading.focus({ preventScroll: true });
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const section = SECTIONS[Number(event.key) - 1];
  if (section && !$("main").hidden) go(section);
  else if (event.key === "p") pause();
  else if (event.key === "t") scrollTo(0, 0);
  else return;
  event.preventDefault();
});
$("pause").addEventListener("click", pause);

// Nobody looks at a page that is hidden: weir need not tell it anything.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) close();
  else if (!paused) open();
});
open();
