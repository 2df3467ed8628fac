"use strict";
// The review: a long list of clips of which only those near the window are in the document, and a person's decisions.
// `page.py` says what the data is, `store/review.py` what a line of review.jsonl is. Texts are only ever set as text.
(async () => {
  const data = JSON.parse(document.getElementById("data").textContent);
  document.getElementById("data").remove();
  const find = (is, within = document) => within.querySelector(`[data-is="${is}"]`);
  const make = (tag, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  };
  const count = data.ids.length;
  const word = ({ words, codes }, clip) => (codes[clip] < 0 ? null : words[codes[clip]]);
  const scores = new Map(data.scores.map((score) => [score.name, score]));
  const number = (value) => (value === null ? "–" : Math.abs(value) >= 1000 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(4))));
  const many = (value) => value.toLocaleString("en");
  function clock(seconds) {
    const tenths = Math.round(10 * Math.max(0, seconds)), minutes = Math.floor(tenths / 600);
    const rest = ((tenths % 600) / 10).toFixed(1).padStart(4, "0");
    return minutes >= 60 ? `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
  }
  const tidy = (text) => text.trim().replace(/\s+/gu, " ");
  const say = (text) => { find("said").textContent = text; };

  // --- decisions -------------------------------------------------------------------------------------------------------

  const NOTHING = Object.freeze({ decision: null, star: false, text: null });
  const numberOf = new Map(data.ids.map((id, clip) => [id, clip]));
  const decisions = new Map(); // by clip
  const outdated = new Map(); // lines about clips whose pictures have changed since, by clip
  const undone = []; // what `u` goes back to: pairs of a clip and its decision before
  const decided = (clip) => decisions.get(clip) || NOTHING;
  // The table of a run that followed edits has them in place of the model's texts, which the page then does not know.
  const edited = new Set(data.edited);
  const modelsText = (clip) => edited.has(clip) ? "" : data.text[clip] ?? "";
  const textOf = (clip) => decided(clip).text ?? data.text[clip] ?? "";
  const isEmpty = ({ decision, star, text }) => decision === null && !star && text === null;
  const line = (clip) => {
    const { decision, star, text, at } = decided(clip);
    return { clip_id: data.ids[clip], decision, star, text, clip: data.keys[clip], at };
  };

  /** Whether a line of review.jsonl, or of the browser's store, is later than what is known; then it counts. */
  function take(found) {
    const clip = found && numberOf.get(found.clip_id);
    if (clip === undefined || typeof found.at !== "string") return false;
    if (found.clip !== data.keys[clip]) {
      if (!decisions.has(clip)) outdated.set(clip, found);
      return false;
    }
    if (decisions.has(clip) && decisions.get(clip).at > found.at) return false;
    outdated.delete(clip);
    const { decision = null, star = false, text = null, at } = found;
    decisions.set(clip, { decision, star: star === true, text: typeof text === "string" ? text : null, at });
    return true;
  }

  // Pages opened from disk share one store, so the folder is part of the name. A server has an address with its own port.
  const SERVED = location.protocol.startsWith("http");
  const STORE = `clipmill-review ${SERVED ? location.host : location.pathname} `;
  let store = null;
  try {
    store = localStorage;
    for (const key of Object.keys(store)) if (key.startsWith(STORE)) take(JSON.parse(store.getItem(key)));
  } catch { store = null; } // the browser keeps nothing for this page

  const saved = find("saved"), isSaved = (text, bad = false) => { saved.textContent = text; saved.classList.toggle("bad", bad); };
  let unsaved = false; // since the last download
  function remember(clip) {
    try {
      if (!store) throw new Error();
      store.setItem(STORE + data.ids[clip], JSON.stringify(line(clip)));
      if (!browse) isSaved("in this browser, not yet in a file");
    } catch { if (!browse) isSaved("The browser cannot keep decisions: save them as a file.", true); }
    unsaved = true;
    if (browse) { waiting.add(clip); clearTimeout(sending); sending = setTimeout(send, 200); }
  }

  function decide(clip, change, undoing = false) {
    const before = decided(clip), after = { ...before, ...change, at: new Date().toISOString() };
    if (!undoing) undone.push([clip, before]);
    decisions.set(clip, after);
    outdated.delete(clip);
    remember(clip);
    find("undo").disabled = !undone.length;
    refresh(clip);
    tally();
  }

  function undo() {
    if (!undone.length) return say("nothing to undo");
    const [clip, before] = undone.pop();
    decide(clip, { decision: before.decision, star: before.star, text: before.text }, true);
    const at = view.indexOf(clip);
    if (at >= 0) go(at);
    say(`undone: ${data.name.words[data.name.codes[clip]]}, ${clock(data.start[clip])}`);
  }

  const WORDS_OF = { drop: "dropped", keep: "approved" };
  function toggle(clip, decision) {
    const now = decided(clip).decision === decision ? null : decision;
    decide(clip, { decision: now });
    say(now ? WORDS_OF[now] : "no decision");
  }
  function star(clip) {
    decide(clip, { star: !decided(clip).star });
    say(decided(clip).star ? "starred" : "no star");
  }

  function tally() {
    const sums = { dropped: 0, approved: 0, starred: 0, edited: 0 };
    for (const { decision, star: starred, text } of decisions.values()) {
      if (decision) sums[WORDS_OF[decision]]++;
      if (starred) sums.starred++;
      if (text !== null) sums.edited++;
    }
    const shown = Object.entries(sums).filter(([, sum]) => sum);
    find("tally").replaceChildren(...shown.map(([name, sum]) => make("span", { textContent: `${many(sum)} ${name}` })));
  }

  const asLines = (clips) => clips.map((clip) => JSON.stringify(line(clip)) + "\n").join("");
  find("save").addEventListener("click", () => {
    const clips = [...decisions.keys()].filter((clip) => !isEmpty(decided(clip))).sort((one, other) => one - other);
    const address = URL.createObjectURL(new Blob([asLines(clips)], { type: "application/x-ndjson" }));
    make("a", { href: address, download: "review.jsonl" }).click();
    setTimeout(() => URL.revokeObjectURL(address), 60_000);
    unsaved = false;
    isSaved(`${many(clips.length)} saved in review.jsonl`);
  });
  const chooser = find("open").querySelector("input");
  chooser.addEventListener("change", async () => {
    const [file] = chooser.files;
    if (!file) return;
    const { taken, bad } = read(await file.text());
    for (const clip of taken) remember(clip);
    chooser.value = "";
    tally();
    update();
    isSaved(`${many(taken.length)} read from ${file.name}${bad ? `, ${many(bad)} lines cannot be read` : ""}`, bad > 0);
  });
  /** The clips whose decisions the lines of a text changed, and how many lines are none. */
  function read(text) {
    const taken = new Set();
    let bad = 0;
    for (const one of text.split("\n")) {
      if (!one.trim()) continue;
      try {
        const found = JSON.parse(one);
        if (take(found)) taken.add(numberOf.get(found.clip_id));
      } catch { bad++; }
    }
    return { taken: [...taken], bad };
  }
  // Another tab with this page has decided. A line holds all that is decided about a clip, so the next one of this tab
  // must not be written without it.
  addEventListener("storage", ({ key, newValue }) => {
    if (!key?.startsWith(STORE) || !newValue) return;
    for (const clip of read(newValue).taken) if (editing?.clip !== clip) refresh(clip);
    tally();
  });
  addEventListener("beforeunload", (event) => { if (unsaved && !store && !browse) event.preventDefault(); });

  // --- `snakemake browse` ----------------------------------------------------------------------------------------------

  const waiting = new Set(); // clips whose decisions the server does not have
  const MOST_SENT = 900_000, MOST_AT_LAST = 60_000; // bytes: of a request, and of one that outlives the page
  let browse = false, sending = 0, isSending = false;
  /** The first clips that wait, as many as one request holds. */
  function fitting(most) {
    const clips = [];
    let size = 0;
    for (const clip of waiting) {
      size += new TextEncoder().encode(asLines([clip])).length;
      if (clips.length && size > most) break;
      clips.push(clip);
    }
    return clips;
  }
  async function send(last = false) {
    if (!waiting.size || (isSending && last !== true)) return; // what is decided meanwhile is sent after the answer
    const clips = fitting(last === true ? MOST_AT_LAST : MOST_SENT), sent = clips.map(decided);
    isSending = true;
    clearTimeout(sending);
    isSaved("saving …");
    try {
      const answer = await fetch("review.jsonl", {
        method: "POST", headers: { "Content-Type": "application/x-ndjson" }, body: asLines(clips), keepalive: last === true,
      });
      if (!answer.ok) throw new Error(await answer.text());
      clips.forEach((clip, place) => { if (decided(clip) === sent[place]) waiting.delete(clip); });
      isSaved("saved in review.jsonl");
      isSending = false;
      send();
    } catch (error) {
      isSending = false;
      isSaved(`not saved${error instanceof TypeError ? ": `snakemake browse` does not answer" : `: ${error.message}`}`, true);
      sending = setTimeout(send, 5000);
    }
  }
  async function connect() {
    const answer = await fetch("review.jsonl", { cache: "no-store" });
    browse = answer.headers.get("Clipmill-Browse") === "1";
    if (!browse) return;
    find("save").hidden = find("open").hidden = true;
    const mine = [...decisions.keys()];
    const { taken, bad } = read(await answer.text());
    const known = new Set(taken);
    for (const clip of mine) if (!known.has(clip)) waiting.add(clip); // also what was taken back while no server answered
    isSaved(bad ? `${many(bad)} lines of review.jsonl cannot be read` : "saved in review.jsonl", bad > 0);
    send();
  }
  addEventListener("pagehide", () => { commit(); if (browse) send(true); });

  // --- which clips, in which order -------------------------------------------------------------------------------------

  const isNear = (clip) => data.near[clip] !== null;
  const near = data.near.reduce((sum, one) => sum + (one !== null), 0);
  const sizes = { kept: count - near, near, all: count };
  const choice = { set: sizes.kept || !near ? "kept" : "near", words: [], decision: "", sort: "", down: false };
  const conditions = new Map(); // by filter: whether a clip passes
  /** The beginning of a word; of writing that may have no spaces between words, any part. */
  const pattern = (part) => (/^[\0-\x7f]+$/.test(part) ? "(?<![\\p{L}\\p{N}])" : "") + part.replace(/[\\^$.*+?()[\]{}|\/]/gu, "\\$&");
  let view = [];

  const DECISIONS = {
    "": () => true,
    open: (clip) => isEmpty(decided(clip)),
    looked: (clip) => !isEmpty(decided(clip)),
    drop: (clip) => decided(clip).decision === "drop",
    keep: (clip) => decided(clip).decision === "keep",
    star: (clip) => decided(clip).star,
    text: (clip) => decided(clip).text !== null,
  };
  const ORDERS = {
    "": (clip) => (choice.set === "near" ? data.near[clip][2] : clip),
    video: (clip) => data.name.codes[clip], // the words are in order
    text: (clip) => textOf(clip).toLowerCase() || null,
    "text length": (clip) => textOf(clip).length,
    "time of decision": (clip) => (decided(clip).at ? Date.parse(decided(clip).at) : null),
  };
  for (const { name, codes } of data.labels) ORDERS[name] = (clip) => (codes[clip] < 0 ? null : codes[clip]);

  function choose() {
    const here = view[current];
    const passes = [...conditions.values()], words = choice.words.map((part) => new RegExp(pattern(part), "iu")), isOf = DECISIONS[choice.decision];
    const inSet = { kept: (clip) => !isNear(clip), near: isNear, all: () => true }[choice.set];
    view = [];
    for (let clip = 0; clip < count; clip++) {
      if (inSet(clip) && isOf(clip) && passes.every((pass) => pass(clip)) && words.every((one) => one.test(textOf(clip)))) view.push(clip);
    }
    const values = scores.get(choice.sort)?.values, value = values ? (clip) => values[clip] : ORDERS[choice.sort];
    const sign = choice.down ? -1 : 1, keys = new Map(view.map((clip) => [clip, value(clip)]));
    view.sort((one, other) => {
      const left = keys.get(one), right = keys.get(other);
      if (left === null || right === null) return (left === null) - (right === null) || one - other;
      return sign * ((left > right) - (left < right)) || one - other;
    });
    current = Math.max(0, view.indexOf(here));
    update();
    window.scrollTo({ top: Math.max(0, Math.min(scrollY, list.offsetTop - tools.offsetHeight)), behavior: "instant" });
    if (view[current] === here && here !== undefined) show(current);
    render();
  }

  /** Everything that is shown is shown anew. */
  function update() {
    find("shown").textContent = view.length === sizes[choice.set] ? "" : `${many(view.length)} of ${many(sizes[choice.set])} clips`;
    find("empty").hidden = view.length > 0;
    for (const place of [...shown.keys()]) recycle(place);
    measure();
    render();
  }

  for (const button of document.querySelectorAll("[data-set]")) {
    find(`count-${button.dataset.set}`).textContent = many(sizes[button.dataset.set]);
    button.disabled = !sizes[button.dataset.set];
    button.addEventListener("click", () => {
      choice.set = button.dataset.set;
      press();
      choose();
    });
  }
  const press = () => {
    for (const one of document.querySelectorAll("[data-set]")) one.setAttribute("aria-pressed", one.dataset.set === choice.set);
  };
  press();
  const sort = find("sort"), direction = find("direction");
  sort.append(
    make("option", { value: "", textContent: "usual" }),
    ...[...scores.keys(), ...Object.keys(ORDERS).filter(Boolean)].map((name) => make("option", { value: name, textContent: name })),
  );
  sort.addEventListener("change", () => { choice.sort = sort.value; choose(); });
  direction.addEventListener("click", () => {
    choice.down = !choice.down;
    direction.textContent = choice.down ? "↓" : "↑";
    direction.setAttribute("aria-label", `Order: ${choice.down ? "falling" : "rising"}`);
    choose();
  });
  find("decision").addEventListener("change", (event) => { choice.decision = event.target.value; choose(); });
  let typing = 0;
  find("search").addEventListener("input", (event) => {
    clearTimeout(typing);
    typing = setTimeout(() => { choice.words = event.target.value.split(/\s+/u).filter(Boolean); choose(); }, 120);
  });

  // The filters: a line for the name of the video, one per score and one per label.
  const panel = document.getElementById("filters"), opener = find("filters");
  function filter(name, inputs, condition) {
    const row = make("div", { className: "pick" }, make("code", { textContent: name, title: name }), ...inputs);
    for (const input of inputs) {
      input.addEventListener(input.tagName === "SELECT" ? "change" : "input", () => {
        const passes = condition(...inputs.map((one) => one.value.trim()));
        if (passes) conditions.set(name, passes); else conditions.delete(name);
        row.classList.toggle("on", Boolean(passes));
        find("count-filters").textContent = conditions.size || "";
        clearTimeout(typing);
        typing = setTimeout(choose, 120);
      });
    }
    panel.append(row);
  }
  const labelled = (element, label) => { element.setAttribute("aria-label", label); return element; };
  filter("video", [labelled(make("input", { type: "text", placeholder: "part of its name" }), "part of the video's name")], (part) => {
    const wanted = data.name.words.map((name) => name.toLowerCase().includes(part.toLowerCase()));
    return part && ((clip) => wanted[data.name.codes[clip]]);
  });
  for (const label of data.labels) {
    const options = [["", "any"], ...label.words.map((one, code) => [code, one])].map(([value, textContent]) => make("option", { value, textContent }));
    filter(label.name, [labelled(make("select", {}, ...options), label.name)], (code) => code !== "" && ((clip) => label.codes[clip] === Number(code)));
  }
  for (const { name, unit, values } of scores.values()) {
    const known = values.filter((value) => value !== null);
    const ends = ["at least", "at most"].map((end, place) => {
      const edge = known.reduce((one, other) => (place ? Math.max(one, other) : Math.min(one, other)), place ? -Infinity : Infinity);
      return labelled(make("input", { type: "number", step: "any", placeholder: Number.isFinite(edge) ? String(Number(edge.toPrecision(3))) : "", title: unit }), `${name} ${end}`);
    });
    filter(name, ends, (least, most) => {
      const low = least === "" ? -Infinity : Number(least), high = most === "" ? Infinity : Number(most);
      return (least !== "" || most !== "") && ((clip) => values[clip] !== null && values[clip] >= low && values[clip] <= high);
    });
  }
  const clear = make("button", { type: "button", className: "clear", textContent: "Clear filters" });
  clear.addEventListener("click", () => {
    for (const input of panel.querySelectorAll("input, select")) input.value = "";
    for (const row of panel.querySelectorAll(".on")) row.classList.remove("on");
    conditions.clear();
    find("count-filters").textContent = "";
    choose();
  });
  panel.append(clear);
  opener.addEventListener("click", () => {
    panel.hidden = !panel.hidden;
    opener.setAttribute("aria-expanded", !panel.hidden);
    measure();
    render();
  });

  // --- the list --------------------------------------------------------------------------------------------------------

  const list = find("clips"), tools = document.querySelector(".tools"), one = document.querySelector("template").content.firstElementChild;
  const WIDE = 1180, GAP = 14, SPARE_ROWS = 1, MOST_POINTS = 8; // scores of a clip: no card has room for more
  /** The scores, first those that have a bound, and of these first those in which clips differ most. */
  const telling = data.scores.map(({ name, bounds, values }) => {
    const counts = new Map();
    const known = values.filter((value) => value !== null);
    for (const value of known) counts.set(value, (counts.get(value) || 0) + 1);
    return { name, bounded: Object.values(bounds).some((bound) => bound !== null), same: Math.max(0, ...new Set(counts.values())) / known.length };
  }).sort((one, other) => other.bounded - one.bounded || one.same - other.same).map(({ name }) => name);
  const shown = new Map(), spare = []; // cards by their place in `view`; cards that wait for one
  let current = 0, columns = 1, row = 240, width = 0;

  function measure() {
    const style = getComputedStyle(document.body);
    row = parseFloat(style.getPropertyValue("--row")) * parseFloat(getComputedStyle(document.documentElement).fontSize);
    const wide = list.clientWidth;
    columns = wide >= WIDE ? 2 : 1;
    width = (wide - GAP * (columns - 1)) / columns;
    list.style.height = `${Math.ceil(view.length / columns) * row}px`;
  }
  const left = (place) => (place % columns) * (width + GAP);
  const top = (place) => Math.floor(place / columns) * row;

  function render() {
    const above = scrollY - list.offsetTop;
    const first = Math.max(0, Math.floor(above / row) - SPARE_ROWS) * columns;
    const end = Math.min(view.length, (Math.ceil((above + innerHeight) / row) + SPARE_ROWS) * columns);
    for (const place of [...shown.keys()]) if (place < first || place >= end) recycle(place);
    for (let place = first; place < end; place++) if (!shown.has(place)) fill(place);
    clearTimeout(resting);
    resting = setTimeout(rest, 140);
  }
  let resting = 0, asked = false;
  addEventListener("scroll", () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => { asked = false; render(); });
  }, { passive: true });
  addEventListener("resize", () => update());

  function recycle(place) {
    const card = shown.get(place);
    if (card.classList.contains("editing")) commit();
    shown.delete(place);
    quiet(card);
    if (playing === card) playing = null;
    if (card.video.hasAttribute("src")) { card.video.removeAttribute("src"); card.video.load(); }
    card.remove();
    spare.push(card);
  }

  function fresh() {
    const card = one.cloneNode(true);
    for (const name of ["media", "stage", "reel", "lost", "mark", "play", "name", "when", "why", "caption", "editor", "scores"]) card[name] = card.querySelector(`.${name}`);
    card.video = card.querySelector("video");
    card.area = card.querySelector("textarea");
    card.points = Array.from({ length: MOST_POINTS }, () => make("li", {}, "", make("b")));
    card.scores.append(...card.points);
    card.buttons = Object.fromEntries([...card.querySelectorAll(".buttons button")].map((button) => [button.dataset.do, button]));
    card.video.addEventListener("loadedmetadata", () => {
      // Until it plays, a clip shows its middle.
      if (!card.span && playing !== card) { card.rests = true; card.video.currentTime = card.video.duration / 2; }
    });
    for (const event of ["playing", "seeked"]) card.video.addEventListener(event, () => { card.stage.hidden = card.lost.hidden = true; });
    card.video.addEventListener("error", () => { if (card.video.hasAttribute("src")) broken(card); });
    card.video.addEventListener("timeupdate", () => {
      const { start, end } = card.span || {};
      if (card.span && (card.video.currentTime >= end || card.video.currentTime < start - 0.5)) card.video.currentTime = start;
    });
    card.media.addEventListener("pointerenter", (event) => { if (event.pointerType === "mouse" && !still.matches && held !== card) play(card); });
    card.media.addEventListener("pointerleave", () => { if (held !== card) quiet(card); });
    return card;
  }

  function fill(place) {
    const clip = view[place], card = spare.pop() || fresh();
    shown.set(place, card);
    card.clip = clip;
    card.place = place;
    card.rests = false;
    card.span = data.file[clip] ? null : { start: data.start[clip], end: data.end[clip] };
    card.style.width = `${width}px`;
    card.style.transform = `translate(${left(place)}px, ${top(place)}px)`;
    const name = word(data.name, clip), when = `${clock(data.start[clip])}–${clock(data.end[clip])}`;
    card.name.textContent = card.name.title = name;
    card.when.textContent = when;
    card.setAttribute("aria-label", `${name}, ${when}`);
    card.setAttribute("aria-posinset", place + 1);
    card.setAttribute("aria-setsize", view.length);
    const strip = data.strips[clip], wide = strip && strip.width * 9 >= strip.height * 16;
    card.stage.hidden = card.reel.hidden = !strip;
    if (strip) {
      card.reel.style.setProperty("--frames", strip.frames);
      card.reel.style.backgroundImage = `url(${strip.webp})`;
      card.reel.style.aspectRatio = `${strip.width} / ${strip.height}`;
      card.reel.style.backgroundPosition = `${strip.frames > 1 ? (100 * Math.floor((strip.frames - 1) / 2)) / (strip.frames - 1) : 0}% 0`;
      [card.reel.style.width, card.reel.style.height] = wide ? ["100%", "auto"] : ["auto", "100%"];
    }
    card.lost.hidden = true;
    if (!strip && !source(clip)) lose(card, "No picture: its kept frames are not there any more, or too many clips are shown.");
    const wanted = [choice.sort, ...conditions.keys(), ...(isNear(clip) ? [data.near[clip][0]] : [])].filter((score) => scores.has(score));
    const known = telling.filter((score) => scores.get(score).values[clip] !== null);
    const chosen = [...new Set([...wanted, ...known])];
    card.points.forEach((point, place) => {
      const score = chosen[place];
      point.hidden = !score;
      if (!score) return;
      point.className = isNear(clip) && data.near[clip][0] === score ? "bad" : "";
      point.firstChild.data = `${score} `;
      point.lastChild.textContent = number(scores.get(score).values[clip]);
    });
    decorate(card);
    list.append(card);
  }

  /** What changes with a decision. */
  function decorate(card) {
    const { clip } = card, { decision, star: starred, text } = decided(clip);
    point(card);
    card.classList.toggle("edited", text !== null);
    card.classList.remove("editing");
    card.editor.hidden = true;
    card.dataset.decision = decision || "";
    card.mark.hidden = !decision && !starred;
    card.mark.textContent = [starred ? "★" : "", decision ? WORDS_OF[decision] : ""].filter(Boolean).join(" ");
    for (const [name, on] of [["drop", decision === "drop"], ["keep", decision === "keep"], ["star", starred]]) card.buttons[name].setAttribute("aria-pressed", on);
    const why = [reason(clip), outdated.has(clip) ? `Looked at on ${outdated.get(clip).at.slice(0, 10)}, but its pictures have changed since.` : ""].filter(Boolean).join(" ");
    card.why.hidden = !why;
    card.why.textContent = why;
    const shownText = textOf(clip);
    card.caption.classList.toggle("none", !shownText);
    card.caption.replaceChildren(...(shownText ? marked(shownText) : ["no caption"]));
  }
  const refresh = (clip) => { for (const card of shown.values()) if (card.clip === clip) decorate(card); };

  function reason(clip) {
    if (!isNear(clip)) return "";
    const [name, end] = data.near[clip];
    if (end === "review") return `Dropped by a person's decision: ${word(data.reason, clip)}.`;
    if (end === "words") return `Dropped by ${name}: ${word(data.labels.find((label) => label.name === name) || { codes: [-1] }, clip) ?? "no word"}.`;
    const { values, bounds } = scores.get(name);
    return `Dropped by ${name}: ${number(values[clip])} is ${end === "min" ? "below" : "above"} ${number(bounds[end])}.`;
  }

  /** A text with the words that were looked for in marks. */
  function marked(text) {
    if (!choice.words.length) return [text];
    const words = new RegExp(choice.words.map(pattern).join("|"), "giu"), parts = [];
    let from = 0;
    for (const found of text.matchAll(words)) {
      parts.push(text.slice(from, found.index), make("mark", { textContent: found[0] }));
      from = found.index + found[0].length;
    }
    return [...parts, text.slice(from)];
  }

  function show(place) {
    const height = innerHeight, bar = getComputedStyle(tools).position === "sticky" ? tools.offsetHeight : 0;
    const from = list.offsetTop + top(place), to = from + row;
    if (from - bar - GAP < scrollY) window.scrollTo({ top: from - bar - GAP, behavior: "instant" });
    else if (to > scrollY + height) window.scrollTo({ top: to - height, behavior: "instant" });
  }
  /** Whether a card is the one that keys are for. */
  function point(card) {
    card.classList.toggle("current", card.place === current);
    card.setAttribute("aria-current", card.place === current);
  }
  function mark(place) {
    const before = shown.get(current);
    current = place;
    for (const card of [before, shown.get(place)]) {
      if (card) point(card);
    }
  }
  function go(place) {
    if (!view.length) return;
    commit();
    mark(Math.max(0, Math.min(view.length - 1, place)));
    show(current);
    render();
    shown.get(current)?.focus({ preventScroll: true });
  }

  // --- playing ---------------------------------------------------------------------------------------------------------

  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const unplayable = new Set(); // clips that the browser cannot play, or whose file is not there
  let playing = null, held = null; // `held`: a card that plays although the pointer is elsewhere

  /** The address of a clip's file; of a dropped clip that of its video, if `snakemake browse` serves it. */
  function source(clip) {
    if (unplayable.has(clip)) return null;
    if (data.file[clip]) return `dataset/${data.file[clip].split("/").map(encodeURIComponent).join("/")}`;
    const seconds = `#t=${data.start[clip]},${data.end[clip]}`;
    return browse ? `source/${encodeURIComponent(word(data.video, clip))}${seconds}` : null;
  }
  function lose(card, why) {
    card.lost.textContent = why;
    card.lost.hidden = false;
  }
  function broken(card) {
    unplayable.add(card.clip);
    card.video.removeAttribute("src");
    const strip = data.strips[card.clip];
    card.stage.hidden = !strip;
    if (!strip) lose(card, data.file[card.clip] ? "Not beside this page, or in a format that this browser does not play: dataset/" + data.file[card.clip] : "This browser does not play the video, and no frame of the clip was kept.");
    else if (playing === card) card.reel.classList.add("runs");
  }
  /** Plays a clip: with its sound if a person asked for it, and not for the pointer that passes over it. */
  function play(card, aloud = false) {
    card.video.muted = !aloud;
    if (playing && playing !== card) { quiet(playing); held = null; }
    playing = card;
    card.play.textContent = "❚❚";
    card.play.setAttribute("aria-label", "Pause");
    const address = source(card.clip);
    if (!address) { card.reel.classList.add("runs"); return; }
    if (!card.video.hasAttribute("src")) card.video.src = address;
    if (card.rests) { card.rests = false; card.video.currentTime = 0; }
    card.video.play().catch(() => {}); // `error` says why; a play that is paused before it begins is none
  }
  function quiet(card) {
    if (playing === card) playing = null;
    if (held === card) held = null;
    card.video.pause();
    card.reel.classList.remove("runs");
    card.play.textContent = "▶";
    card.play.setAttribute("aria-label", "Play");
  }
  function playOrPause(card) {
    if (!card) return;
    if (playing === card && held === card) quiet(card); else { play(card, true); held = card; }
  }
  /**
   * When the list stands still, clips of the dataset show a frame of their file: sharper than the picture in this page.
   * One after the other, since a browser takes milliseconds to begin with a video.
   */
  function rest() {
    for (const card of shown.values()) {
      if (card.video.hasAttribute("src") || !data.file[card.clip]) continue;
      if (unplayable.has(card.clip)) { broken(card); continue; }
      card.video.preload = "auto";
      card.video.src = source(card.clip);
      resting = setTimeout(rest, 25);
      return;
    }
  }

  // --- editing ---------------------------------------------------------------------------------------------------------

  let editing = null;
  function edit(card) {
    if (!card) return;
    commit();
    editing = card;
    card.classList.add("editing");
    card.editor.hidden = false;
    card.area.value = textOf(card.clip);
    card.area.focus();
    card.area.setSelectionRange(0, 0);
    card.area.scrollTop = 0;
  }
  /** Take the text that is being edited, if there is one: an empty one, or the model's own, is no edit. */
  function commit() {
    if (!editing) return;
    const card = editing, { clip } = card, typed = tidy(card.area.value);
    const same = typed === tidy(textOf(clip)), text = same ? decided(clip).text : typed === tidy(modelsText(clip)) || !typed ? null : typed;
    editing = null;
    decorate(card);
    if (text !== decided(clip).text) {
      decide(clip, { text });
      say(text === null ? "the model's caption" : "edited");
    }
  }
  function cancel() {
    const card = editing;
    editing = null;
    decorate(card);
    card.focus({ preventScroll: true });
  }
  list.addEventListener("submit", (event) => {
    event.preventDefault();
    const card = editing;
    commit();
    card?.focus({ preventScroll: true });
  });
  list.addEventListener("focusout", (event) => {
    if (editing && editing.editor.contains(event.target) && document.hasFocus() && !editing.editor.contains(event.relatedTarget)) commit();
  });

  // --- keys and clicks -------------------------------------------------------------------------------------------------

  const cardOf = (element) => element.closest(".one");
  list.addEventListener("focusin", (event) => { const card = cardOf(event.target); if (card && card.place !== current) mark(card.place); });
  list.addEventListener("click", (event) => {
    const card = cardOf(event.target), action = event.target.closest("[data-do]")?.dataset.do;
    if (!card) return;
    if (card.place !== current) mark(card.place);
    if (action === "play" || (!action && card.media.contains(event.target))) playOrPause(card);
    else if (action === "drop" || action === "keep") toggle(card.clip, action);
    else if (action === "star") star(card.clip);
    else if (action === "edit") edit(card);
    else if (action === "cancel") cancel();
    else if (action === "model") { card.area.value = modelsText(card.clip); card.area.focus(); }
  });
  list.addEventListener("dblclick", (event) => { if (event.target.closest(".caption")) edit(cardOf(event.target)); });

  const keys = find("keys");
  find("help").addEventListener("click", () => keys.showModal());
  find("undo").addEventListener("click", undo);
  const search = find("search");
  const KEYS = {
    j: () => go(current + 1), k: () => go(current - 1),
    ArrowRight: () => go(current + 1), ArrowLeft: () => go(current - 1),
    ArrowDown: () => go(Math.min(current + columns, view.length - 1)), ArrowUp: () => go(Math.max(current - columns, 0)),
    Home: () => go(0), End: () => go(view.length - 1),
    d: () => toggle(view[current], "drop"), y: () => toggle(view[current], "keep"), s: () => star(view[current]),
    e: () => { go(current); edit(shown.get(current)); },
    " ": () => { go(current); playOrPause(shown.get(current)); },
    u: undo,
    "/": () => { search.focus(); search.select(); },
    "?": () => keys.showModal(),
  };
  const OF_A_CLIP = new Set(["d", "y", "s", "e", " "]);
  document.addEventListener("keydown", (event) => {
    if (editing && editing.editor.contains(event.target)) {
      if (event.key === "Escape") { event.preventDefault(); cancel(); }
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); editing.editor.requestSubmit(); }
      return;
    }
    if (keys.open) { if (event.key === "?") keys.close(); return; }
    if (event.key === "Escape" && event.target === search) { search.blur(); return; }
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select")) return;
    if (event.key === " " && event.target.closest("button, a, summary")) return;
    const action = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!action || (OF_A_CLIP.has(event.key.toLowerCase()) && !view.length)) return;
    event.preventDefault();
    if (event.repeat && OF_A_CLIP.has(event.key.toLowerCase())) return; // a key that is held down decides once
    action();
  });

  if (SERVED) await connect().catch(() => {});
  find("where").textContent = browse ? "`snakemake browse` also writes them into review.jsonl of the output folder." : "Save them as review.jsonl to use them in a run.";
  if (decisions.size && !browse) isSaved("in this browser, not yet in a file");
  tally();
  choose();
  document.documentElement.dataset.ready = "yes";
})();
