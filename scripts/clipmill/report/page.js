"use strict";
// What if: recomputes verdicts from the table of scores. `judge.py` says what the bits and fates mean, `scales.py` the codes.
(async () => {
  const NOT_CAPTIONED = 1, BAD_TEXT = 2, NOT_CUT = 3, BAD_FILE = 4, DUPLICATE = 5, BAD_ANSWER = 6, SHORT = 7, SMALL = 8, SILENT = 9;
  const data = JSON.parse(document.getElementById("data").textContent);
  const find = (is, within = document) => within.querySelector(`[data-is="${is}"]`);

  // --- the table -------------------------------------------------------------------------------------------------------

  async function unpack(text, Kind) {
    const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Kind(await new Response(stream).arrayBuffer());
  }

  const Codes = data.bytes === 1 ? Uint8Array : Uint16Array;
  const MISSING = 256 ** data.bytes - 1, UNKNOWN = MISSING - 1, EXEMPT = MISSING - 2;
  // `seconds` and `trimmed` hold the number of each clip's bin, `lengths` and `trims` the mean of each bin in microseconds.
  const [fate, seconds, trimmed, lengths, trims] = await Promise.all([
    unpack(data.columns.fate, Uint8Array), unpack(data.columns.seconds, Codes), unpack(data.columns.trimmed, Codes),
    unpack(data.lengths.seconds, Float64Array), unpack(data.lengths.trimmed, Float64Array),
  ]);
  const rows = data.rows, all = fate.length, stages = data.stages.length;
  const placeOfStage = Object.fromEntries(data.stages.map((name, place) => [name, place]));
  // The stages that a clip fails, and those of which that is unknown, as bits: SPAN stages per array.
  const SPAN = 31, spans = Math.ceil(stages / SPAN);
  const bits = () => Array.from({ length: spans }, () => new Int32Array(all));
  const fails = bits(), unsure = bits();
  function mark(flags, row, stage, on) {
    const span = flags[Math.floor(stage / SPAN)], bit = 1 << stage % SPAN;
    span[row] = on ? span[row] | bit : span[row] & ~bit;
  }
  /** The first of a clip's marked stages; the number of all stages where none is. */
  function first(flags, row) {
    for (let place = 0; place < spans; place++) {
      const found = flags[place][row];
      if (found) return SPAN * place + 31 - Math.clz32(found & -found);
    }
    return stages;
  }
  for (let row = 0; row < all; row++) {
    const stage = { [DUPLICATE]: "duplicates", [BAD_ANSWER]: "answers", [BAD_TEXT]: "texts", [BAD_FILE]: "files", [SHORT]: "files", [SMALL]: "files", [SILENT]: "files" }[fate[row]];
    if (stage) mark(fails, row, placeOfStage[stage], true);
  }
  // `was`, `is`: a filter's bounds, or of a filter on words whether each word passes.
  const filters = await Promise.all(data.filters.map(async (filter) => {
    const was = filter.words ? Object.fromEntries(filter.words.map(({ word, passes }) => [word, passes])) : { min: filter.min, max: filter.max };
    return {
      ...filter,
      codes: await unpack(data.columns[filter.name], Codes),
      whole: filter.edges !== null,
      edges: filter.edges ? await unpack(filter.edges, Float64Array) : Float64Array.from(filter.stops),
      was,
      is: { ...was },
      stage: placeOfStage[filter.name],
      means: new Uint8Array(MISSING + 1),
    };
  }));
  data.columns = null;

  /** How many of the rising `edges` lie below `value`; with `too`, also those that equal it. */
  function below(edges, value, too) {
    let low = 0, high = edges.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (edges[middle] < value || (too && edges[middle] === value)) low = middle + 1; else high = middle;
    }
    return low;
  }

  // Sums over all rows. They are of whole numbers, and so exact however often rows are taken out and put back (except
  // `squares`, which only estimate an error). `clips` and `length`: by the stage at which clips end; the last place is the
  // dataset. `open`: clips that become unknown at a stage, minus unknown clips that fail there.
  const sums = {
    clips: new Float64Array(stages + 1), length: new Float64Array(stages + 1), open: new Float64Array(stages + 1),
    trimmed: 0, squares: 0, caption: 0, cut: 0,
    // By stage: the clips that fail it; those that fail no other; and those of which that is unknown.
    fail: new Float64Array(stages + 1), alone: new Float64Array(stages + 1), unsure: new Float64Array(stages + 1),
  };

  /** Whether a clip fails but one stage, its `place`. */
  function failsOne(row, place) {
    for (let span = 0; span < spans; span++) {
      if (fails[span][row] !== (span === Math.floor(place / SPAN) ? 1 << place % SPAN : 0)) return false;
    }
    return true;
  }

  function recount(row, sign) {
    const out = first(fails, row), maybe = first(unsure, row), end = Math.min(out, maybe);
    const length = lengths[seconds[row]];
    sums.clips[end] += sign;
    sums.length[end] += sign * length;
    if (out < stages && failsOne(row, out)) (maybe < stages ? sums.unsure : sums.alone)[out] += sign;
    if (maybe < out) { sums.open[maybe] += sign; sums.open[out] -= sign; }
    if (end < stages) return;
    sums.trimmed += sign * trims[trimmed[row]];
    sums.squares += sign * length * length;
    if (fate[row] === NOT_CAPTIONED) sums.caption += sign;
    if (fate[row] === NOT_CUT) sums.cut += sign;
  }

  const PASSES = 0, FAILS = 1, UNSURE = 2;

  /** Whether a filter can drop a clip. One on words that allows or denies any word drops clips without a word too. */
  const isActive = ({ words, is, allow, deny }) =>
    words
      ? Boolean(allow) || words.some(({ word }) => !is[word]) || (deny || []).some((word) => !(word in is))
      : is.min !== null || is.max !== null;

  /** What each code means at a filter's bounds. A missing score fails; with one that was never computed it is unknown. */
  function meaning(filter) {
    const { edges, is, words } = filter, found = new Uint8Array(MISSING + 1);
    if (!isActive(filter)) return found;
    if (words) {
      words.forEach(({ word }, number) => { found[2 * number + 1] = is[word] ? PASSES : FAILS; });
      found[MISSING] = FAILS;
      found[UNKNOWN] = UNSURE;
      return found;
    }
    const low = is.min === null ? 0 : 2 * below(edges, is.min, false) + 1;
    const high = is.max === null ? 2 * edges.length : 2 * below(edges, is.max, true) - 1;
    for (let code = 0; code <= MISSING; code++) found[code] = code < low || code > high ? FAILS : PASSES;
    found[UNKNOWN] = UNSURE;
    found[EXEMPT] = PASSES; // a person wrote the text: no filter on it counts
    return found;
  }

  /** Judges every clip by one filter, and counts the clips again for which that changes something. */
  function apply(filter, counting) {
    const { codes, stage, means: before } = filter;
    const now = (filter.means = meaning(filter));
    for (let row = 0; row < all; row++) {
      const code = codes[row], to = now[code];
      if (to === before[code]) continue;
      const counted = counting && row < rows;
      if (counted) recount(row, -1);
      if (row < rows) sums.fail[stage] += (to === FAILS) - (before[code] === FAILS);
      mark(fails, row, stage, to === FAILS);
      mark(unsure, row, stage, to === UNSURE);
      if (counted) recount(row, 1);
    }
  }

  /** By stage: clips and seconds that have passed it, and clips of which that is unknown. Also how many clips would still
      have to be captioned or cut, and the standard errors. `footage`: seconds of the kept clips in their videos. */
  function tally() {
    const unit = 1e-6, scale = rows ? data.clips / rows : 1;
    const passed = [];
    let left = rows, time = sums.length.reduce((sum, part) => sum + part, 0), unknown = 0;
    for (let stage = 0; stage < stages; stage++) {
      left -= sums.clips[stage];
      time -= sums.length[stage];
      unknown += sums.open[stage];
      passed.push({ clips: left * scale, seconds: time * unit * scale, unknown: unknown * scale });
    }
    passed[stages - 1].seconds -= sums.trimmed * unit * scale;
    // The standard error of a total drawn from a sample without replacement (Cochran, Sampling Techniques, 2.5).
    const drawn = rows < data.clips ? data.clips * Math.sqrt((1 - rows / data.clips) / rows) : 0;
    const spread = (squares, sum) => Math.sqrt(Math.max(0, squares / rows - (sum / rows) ** 2));
    return {
      passed,
      footage: time * unit * scale,
      failing: (stage) => [sums.fail[stage] * scale, sums.alone[stage] * scale, sums.unsure[stage] * scale],
      caption: sums.caption * scale,
      cut: sums.cut * scale,
      clipError: drawn && drawn * spread(left, left),
      timeError: drawn && drawn * spread(sums.squares, time) * unit,
    };
  }

  // --- numbers as people read them; page.py has the same ---------------------------------------------------------------

  const count = (value) => Math.round(value).toLocaleString("en-US");
  const places = (value, digits) =>
    value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  function hours(value) {
    const h = Math.max(0, value) / 3600;
    return places(h, h < 10 ? 3 : h < 1000 ? 1 : 0);
  }
  const plural = (value, word) => `${count(value)} ${word}${Math.round(value) === 1 ? "" : "s"}`;
  const number = (value) => (Math.abs(value) >= 1000 ? count(value) : String(Number(value.toPrecision(4))));
  function share(part, whole) {
    const value = whole ? (100 * part) / whole : 0;
    return `${value >= 10 || value === 0 ? value.toFixed(0) : Number(value.toPrecision(2))} %`;
  }
  /** A time in at most two units. */
  function lasting(seconds) {
    if (seconds < 9.95) return seconds ? `${seconds.toFixed(1)} s` : "0 s";
    if (seconds < 59.5) return `${seconds.toFixed(0)} s`;
    const two = (value, large, small) => `${Math.floor(value / 60)} ${large}${value % 60 ? ` ${value % 60} ${small}` : ""}`;
    if (seconds < 3599.5) return two(Math.round(seconds), "min", "s");
    return seconds < 360000 ? two(Math.round(seconds / 60), "h", "min") : `${count(seconds / 3600)} h`;
  }
  /** How many clips fail a filter, in sentences. `alone`: those that fail no other; `unsure`: no other that was computed. */
  function failing(fail, alone, unsure) {
    const clause = (value, who, what) => `${who} ${Math.round(value) === 1 ? "fails" : "fail"} ${what}.`;
    if (!Math.round(fail)) return "No clip fails it.";
    const rest = [
      ...(Math.round(alone) ? [clause(alone, `${about}${count(alone)} of them`, "nothing else")] : []),
      ...(Math.round(unsure) ? [clause(unsure, `${about}${count(unsure)} of them`, "no other filter whose score was computed")] : []),
    ];
    return [clause(fail, about + plural(fail, "clip"), "it"), ...(rest.length ? rest : ["Each of them fails something else too."])].join(" ");
  }
  /** A number as YAML 1.1 takes it: `1e-7` would be a text there. */
  const plain = (value) => (value === null ? "null" : String(value).replace(/^(-?\d+)e/, "$1.0e"));

  // --- the page --------------------------------------------------------------------------------------------------------

  const about = rows < data.clips ? "≈ " : "", aboutTime = data.exact ? about : "≈ ";
  const stageRows = data.stages.map((name) => document.querySelector(`[data-stage="${name}"]`));
  const cells = stageRows.map((row) => {
    const found = Object.fromEntries(["clips", "hours", "unknown", "bar"].map((is) => [is, find(is, row)]));
    const was = { clips: found.clips.textContent, hours: found.hours.textContent, width: found.bar.style.width };
    return { row, was, ...found };
  });
  // The clips that are shown, each with the stages that decide about it. All other figures are copies of theirs.
  const clips = [...document.querySelectorAll("[data-picture]")].map((figure, number) => {
    const row = rows + number, why = figure.querySelector(".why");
    return { figure, number, row, judged: fate[row] < SHORT, reason: why.textContent, state: null, why: null, kinds: null };
  });
  const headline = ["headline", "share", "footage", "mean"].map((is) => ({ element: find(is), was: find(is).textContent }));
  /** Writes a text where it is another one than before: all that is written is laid out again. */
  const write = (place, text) => { if (place.textContent !== text) place.textContent = text; };
  const dock = find("dock"), result = find("result"), yaml = find("yaml"), copied = find("copied");
  const ENDS = ["min", "max"];
  const differs = ({ was, is }) => Object.keys(is).filter((end) => was[end] !== is[end]);
  const changed = (filter) => differs(filter).length > 0;
  /** Unchanged bounds of a filter that were quantiles, and whose value the changed stages `moved` would change. */
  const pinned = (filter, moved) =>
    filter.decidedBy.some((name) => moved.has(name)) ? ENDS.filter((end) => filter.quantiles[end] && filter.was[end] === filter.is[end]) : [];

  function show() {
    const now = tally();
    const touched = filters.filter(changed);
    const names = new Set(filters.map(({ name }) => name));
    const active = new Set(filters.filter(isActive).map(({ name }) => name));
    const moved = new Set(touched.map(({ name }) => name));
    const untouched = Math.min(stages, ...touched.map(({ stage }) => stage)); // stages before this one are as in the run, and count all clips
    now.passed.forEach((stage, place) => {
      const { row, was, clips, hours: time, unknown, bar } = cells[place], same = place < untouched;
      const name = data.stages[place];
      if (names.has(name)) row.hidden = !active.has(name); // a score that was not computed has no slider, and stays hidden
      write(clips, same ? was.clips : about + count(stage.clips));
      write(time, same ? was.hours : aboutTime + hours(stage.seconds));
      write(unknown, stage.unknown ? about + count(stage.unknown) : "");
      bar.style.width = same ? was.width : `${(100 * stage.clips) / (data.found || 1)}%`;
    });
    find("funnel").classList.toggle("open", now.passed.some(({ unknown }) => unknown > 0));
    const end = now.passed[stages - 1];
    const error = (value, text) => (about && value ? ` ± ${text(value)}` : "");
    result.replaceChildren(
      part("kept", `kept: ${about}${count(end.clips)}${error(now.clipError, count)}`),
      part("", `of ${plural(data.clips, "clip")}, ${aboutTime}${hours(end.seconds)}${error(now.timeError, hours)} hours`),
      ...(now.caption ? [part("todo", `${about}${count(now.caption)} would still have to be captioned and cut`)] : []),
      ...(now.cut ? [part("todo", `${about}${count(now.cut)} would still have to be cut`)] : []),
      ...(end.unknown ? [part("unknown", `unknown: ${about}${count(end.unknown)} (score not computed, would have to be scored)`)] : []),
    );
    const said = [
      `${about}${count(end.clips)} of ${count(data.found)} clips would be kept`, about + share(end.clips, data.found), aboutTime + lasting(end.seconds),
      end.clips ? `${aboutTime}${number(now.footage / end.clips)} s` : "–",
    ];
    headline.forEach(({ element, was }, place) => write(element, touched.length ? said[place] : was));
    for (const { card, stage, fails: sentence, failsWas, ...filter } of filters) {
      const sums = now.failing(stage);
      write(sentence, !touched.length ? failsWas : isActive(filter) ? failing(...sums) : "");
    }
    showClips();
    dock.hidden = !touched.length;
    const lines = filters.map((filter) => (filter.words ? lineOfWords(filter) : line(filter, pinned(filter, moved)))).join("");
    yaml.textContent = lines ? `filters:\n${lines}` : "# nothing has been changed";
    copied.textContent = "";
    writeAddress();
  }

  function part(kind, text) {
    const element = document.createElement("span");
    element.className = kind;
    element.textContent = text;
    return element;
  }

  /** A filter's line for the config: bounds that were changed, and `held` bounds, which were quantiles. */
  function line(filter, held) {
    const { name, is, quantiles } = filter, differing = differs(filter);
    const bounds = ENDS.filter((end) => differing.includes(end) || held.includes(end)).map((end) => `${end}: ${plain(is[end])}`);
    const was = held.map((end) => `${end} was ${quantiles[end]}`).join(", ");
    const crossed = is.min !== null && is.max !== null && is.min > is.max;
    const notes = [
      ...(was ? [`${was}, which would be found anew`] : []),
      ...(crossed ? [`no clip can pass: min ${is.min} is more than max ${is.max}, which the config refuses`] : []),
    ];
    return bounds.length ? `  ${name}: {${bounds.join(", ")}}${notes.length ? `  # ${notes.join("; ")}` : ""}\n` : "";
  }

  /** The line of a filter on words: the words that pass where the config allows some, else those that do not. Words that
      no clip has stay as the config has them. */
  function lineOfWords(filter) {
    if (!changed(filter)) return "";
    const { name, words, is, allow, deny, isFlag } = filter;
    const listed = (own, passes) => [
      ...words.filter(({ word }) => is[word] === passes).map(({ word }) => word),
      ...(own || []).map(String).filter((word) => !(word in is) && !(passes && (deny || []).map(String).includes(word))),
    ].map((word) => (isFlag ? word : JSON.stringify(word))).join(", ");
    const denied = listed(deny, false), allowed = listed(allow, true);
    if (!allow) return `  ${name}: {deny: ${denied ? `[${denied}]` : "null"}}\n`;
    const none = allowed ? "" : "  # no clip can pass; the config refuses an empty list";
    return `  ${name}: {allow: [${allowed}]${deny ? ", deny: null" : ""}}${none}\n`;
  }

  let asked = false;
  function refresh() {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      for (const filter of filters) if (filter.moved) { apply(filter, true); filter.moved = false; showSides(filter); }
      show();
    });
  }

  // --- clips -----------------------------------------------------------------------------------------------------------

  const NEAR = 6, FIRST = 24; // clips on a side of a threshold, and in the list until more are asked for

  /** Says of each clip what becomes of it, wherever it is shown, and lists those that are asked for. */
  function showClips() {
    for (const clip of clips) {
      const out = first(fails, clip.row), maybe = first(unsure, clip.row);
      clip.state = out < stages ? "out" : maybe < stages ? "unknown" : "kept";
      const failed = filters.filter(({ stage }) => isFailed(clip, stage)).map(({ name }) => name);
      clip.kinds = new Set(["all", clip.state, ...failed, ...(clip.state === "out" && !failed.length ? ["other reasons"] : [])]);
      const now = [...clip.kinds].join();
      clip.was ??= now;
      clip.why = now === clip.was || !failed.length ? (clip.state === "out" ? clip.reason : "") : `fails ${failed.join(", ")}`;
    }
    if (playing && !playing.screen.isConnected) stop();
    for (const figure of document.getElementsByClassName("clip")) if (figure.dataset.picture) describe(figure);
    list();
  }

  const isFailed = ({ judged, row }, stage) => judged && (fails[Math.floor(stage / SPAN)][row] >> stage % SPAN & 1) === 1;

  function describe(figure) {
    const { state, why } = clips[figure.dataset.picture];
    if (figure.dataset.now !== state) figure.querySelector(".badge").textContent = figure.dataset.now = state;
    const place = figure.querySelector(".why");
    write(place, why);
    place.hidden = !why;
  }

  /** Shows the score of a clip's figure by a filter; without one none. */
  function score(figure, filter) {
    const value = filter ? filter.shown[figure.dataset.picture] : null, place = figure.querySelector(".score");
    write(place, value === null ? "" : filter.words ? value : number(value));
    place.hidden = value === null;
  }

  function copyOf(clip, filter) {
    const figure = clip.figure.cloneNode(true);
    figure.hidden = false;
    figure.querySelector("details")?.removeAttribute("open");
    figure.querySelector(".plays")?.remove();
    figure.querySelector(".screen").removeAttribute("data-plays");
    score(figure, filter);
    return figure;
  }

  /** The clips nearest to a threshold on one side of it, of different videos while there are such, by rising score. */
  function nearby(filter, end, isOut) {
    const { shown, is, words } = filter, bound = is[end];
    const lies = (value) => (words ? !is[value] : end === "min" ? value < bound : value > bound);
    const far = ({ number }) => (words ? 0 : Math.abs(shown[number] - bound));
    const found = clips.filter(({ judged, number }) => judged && shown[number] !== null && lies(shown[number]) === isOut);
    found.sort((one, other) => far(one) - far(other));
    const seen = new Set(), own = [], rest = [];
    for (const clip of found) {
      const { video } = clip.figure.dataset;
      (seen.has(video) ? rest : own).push(clip);
      seen.add(video);
    }
    const chosen = [...own, ...rest].slice(0, NEAR);
    return words ? chosen : chosen.sort((one, other) => shown[one.number] - shown[other.number]);
  }

  /** Shows the clips on both sides of a filter's thresholds. */
  function showSides(filter) {
    for (const end of filter.words ? ["words"] : ENDS) {
      const bound = filter.is[end], none = filter.words ? !isActive(filter) : bound === null;
      const sides = none ? [] : [true, false].map((isOut) => ({ isOut, near: nearby(filter, end, isOut) }));
      let box = filter.sides[end];
      if (!sides.some(({ near }) => near.length)) { box?.remove(); continue; }
      if (!box) {
        box = filter.sides[end] = element("details", "near", element("summary"));
        box.copies = new Map(); // by clip: to make them again takes as long as all else that a slider does
      }
      const copy = (clip) => {
        if (!box.copies.has(clip)) box.copies.set(clip, copyOf(clip, filter));
        return box.copies.get(clip);
      };
      const drops = sides[0].near.length > 0;
      if (drops && !box.drops) box.open = true;
      box.drops = drops;
      if (!box.isConnected) { if (end === "max") filter.room.append(box); else filter.room.prepend(box); }
      const title = filter.words ? "On both sides of it" : `At the threshold: ${end === "min" ? "at least" : "at most"} ${number(bound)}`;
      write(box.firstChild, title);
      const shown = sides.map(({ near }) => near.map(({ number }) => number).join()).join(";");
      if (box.shown === shown) continue;
      box.shown = shown;
      if (end === "max") sides.reverse();
      box.replaceChildren(box.firstChild, ...sides.flatMap(({ isOut, near }) => {
        const where = filter.words ? "" : isOut === (end === "min") ? "just below " : "just above ";
        return [
          element("h4", "", where, element("span", "", isOut ? "dropped by it" : "passed by it")),
          near.length ? element("div", "strip", ...near.map(copy)) : element("p", "none", "No clip."),
        ];
      }));
    }
  }

  const chooser = find("show"), more = find("more"), sheet = find("sheet");
  let whole = false; // whether all clips that are asked for are listed, and not only the first ones

  /** Lists the clips that are asked for; those that fail a filter by its score. */
  function list() {
    if (!chooser) return;
    const counts = new Map();
    for (const { kinds } of clips) for (const kind of kinds) counts.set(kind, (counts.get(kind) ?? 0) + 1);
    for (const option of chooser.options) {
      const found = counts.get(option.value) ?? 0;
      write(option, `${option.dataset.name ??= option.textContent} (${found})`);
      option.hidden = option.disabled = !found && !option.selected;
    }
    const filter = filters.find(({ name }) => name === chooser.value);
    const found = clips.filter(({ kinds }) => kinds.has(chooser.value));
    const place = ({ number }) => filter.shown[number] ?? Infinity;
    if (filter && !filter.words) found.sort((one, other) => (place(one) < place(other) ? -1 : Number(place(one) > place(other))));
    const listed = new Set(whole ? found : found.slice(0, FIRST));
    for (const clip of clips) clip.figure.hidden = !listed.has(clip);
    for (const { figure } of listed) score(figure, filter);
    const order = (filter ? [...listed] : clips).map(({ figure }) => figure);
    if (order.some((figure, place) => sheet.children[place] !== figure)) sheet.prepend(...order);
    write(find("listed"), `${count(listed.size)} of ${count(found.length)}`);
    more.hidden = listed.size === found.length;
    for (const { name, link } of filters) {
      const fail = counts.get(name);
      link.hidden = !fail;
      if (fail) write(link, `See ${plural(fail, "clip")} that ${fail === 1 ? "fails" : "fail"} it.`);
    }
  }

  function element(kind, name, ...inside) {
    const made = document.createElement(kind);
    made.className = name;
    made.append(...inside);
    return made;
  }

  // A clip plays where it is pointed at, or until it is pressed again; one at a time. One of the dataset from its file, a
  // dropped one from its video, if `snakemake browse` serves that, else as a moving picture of its kept frames. One that is
  // pressed is heard.
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  let playing = null;

  function stop() {
    if (!playing) return;
    const { screen, shown } = playing;
    playing = null;
    if (shown instanceof HTMLVideoElement) { shown.pause(); shown.removeAttribute("src"); shown.load(); }
    shown?.remove();
    screen.removeAttribute("data-plays");
    screen.setAttribute("aria-pressed", "false");
  }

  function play(screen, pinned) {
    stop();
    const { file, source, moving } = screen.closest(".clip").dataset;
    const mine = (playing = { screen, pinned, shown: null });
    screen.setAttribute("aria-pressed", String(pinned));
    const film = file || (location.protocol.startsWith("http") ? source : null);
    const show = (what, kind) => { mine.shown = what; what.className = "plays"; screen.append(what); screen.dataset.plays = kind; };
    const move = () => {
      if (playing !== mine || !moving) return;
      const picture = new Image();
      picture.alt = "";
      picture.src = moving;
      show(picture, "frames");
    };
    if (!film) { move(); return; }
    const video = document.createElement("video");
    Object.assign(video, { muted: !pinned, loop: true, playsInline: true, preload: "auto" });
    const [start, end] = (film.split("#t=")[1] || "").split(",").map(Number);
    video.addEventListener("loadeddata", () => { if (playing === mine) show(video, "video"); }, { once: true });
    video.addEventListener("error", () => { if (playing === mine) { mine.shown?.remove(); mine.shown = null; move(); } });
    // A browser stops at the end of a part of a video; the next round begins here.
    if (end) video.addEventListener("pause", () => { if (playing === mine) { video.currentTime = start; run(); } });
    const run = () => video.play().catch(() => {}); // refused if it is stopped before it starts; "error" says all else
    video.src = film;
    mine.shown = video;
    run();
  }

  const screenOf = (event) => (event.target instanceof Element ? event.target.closest(".screen") : null);
  document.addEventListener("pointerover", (event) => {
    const screen = screenOf(event);
    if (screen && event.pointerType === "mouse" && !calm.matches && screen !== playing?.screen && !playing?.pinned) play(screen, false);
  });
  document.addEventListener("pointerout", (event) => {
    const screen = screenOf(event);
    if (screen && screen === playing?.screen && !playing.pinned && !screen.contains(event.relatedTarget)) stop();
  });
  document.addEventListener("click", (event) => {
    const screen = screenOf(event);
    if (!screen) return;
    if (screen === playing?.screen && playing.pinned) stop();
    else if (screen === playing?.screen) {
      playing.pinned = true;
      if (playing.shown instanceof HTMLVideoElement) playing.shown.muted = false;
      screen.setAttribute("aria-pressed", "true");
    }
    else play(screen, true);
  });

  // --- the address: `#<part of the page>&<filter>-<end>=<value>`, so that a reload or a link has the same thresholds ------

  const WORD_ENDS = { "words-in": true, "words-out": false };

  function asAddress() {
    const kept = new URLSearchParams();
    for (const { name, words, is, was } of filters) {
      for (const end of Object.keys(is).filter((key) => is[key] !== was[key])) {
        if (words) kept.append(`${name}-${is[end] ? "words-in" : "words-out"}`, end);
        else kept.append(`${name}-${end}`, is[end] === null ? "" : String(is[end]));
      }
    }
    if (chooser && chooser.value !== "all") kept.append("show", chooser.value);
    return kept.toString();
  }

  /** Takes the thresholds from the address. One without any leaves them: it is a link to a part of the page. */
  function readAddress() {
    const parts = location.hash.slice(1).split("&"), given = new URLSearchParams(parts.filter((one) => one.includes("=")).join("&"));
    if (![...given].length) return false;
    for (const filter of filters) {
      if (!filter.set) continue;
      const { name, was, words } = filter;
      const wanted = { ...was };
      for (const end of words ? Object.keys(WORD_ENDS) : ENDS) {
        for (const value of given.getAll(`${name}-${end}`)) {
          if (words && value in was) wanted[value] = WORD_ENDS[end];
          if (!words && (value === "" || Number.isFinite(Number(value)))) wanted[end] = value === "" ? null : filter.near(Number(value));
        }
      }
      for (const end of Object.keys(wanted)) filter.set(end, wanted[end]);
      if (changed(filter)) unfold(filter.card);
    }
    const wish = given.get("show") ?? "all";
    if (chooser && [...chooser.options].some(({ value }) => value === wish)) chooser.value = wish;
    refresh();
    return true;
  }

  const partOfPage = () => location.hash.slice(1).split("&").find((one) => one && !one.includes("=")) ?? "";
  let wait = null;
  /** Writes the address when nothing has moved for a moment: browsers refuse many changes in a row. */
  function writeAddress() {
    clearTimeout(wait);
    wait = setTimeout(() => {
      const wanted = [partOfPage(), asAddress()].filter(Boolean).join("&");
      if (location.hash.slice(1) !== wanted) history.replaceState(null, "", `#${wanted}`);
    }, 250);
  }

  /** Opens what hides a part of the page. */
  function reveal(name) {
    const part = name && document.getElementById(name);
    if (!part) return;
    unfold(part);
    part.scrollIntoView();
  }
  function unfold(part) {
    for (let box = part.closest("details"); box; box = box.parentElement.closest("details")) box.open = true;
  }

  if (chooser) {
    const choose = () => { whole = false; list(); writeAddress(); };
    chooser.addEventListener("change", choose);
    more.addEventListener("click", () => { whole = true; list(); });
    for (const link of document.querySelectorAll("[data-fails]")) {
      link.addEventListener("click", () => { chooser.value = link.dataset.fails; choose(); });
    }
    find("narrow").hidden = false;
  }
  for (const place of document.querySelectorAll("[data-clones]")) {
    place.replaceChildren(...place.dataset.clones.split(" ").map((number) => copyOf(clips[number], null)));
  }

  // --- thresholds ------------------------------------------------------------------------------------------------------

  const nearest = (stops, value) => stops.reduce((best, stop) => (Math.abs(stop - value) < Math.abs(best - value) ? stop : best));
  /** Where a value stands on the slider. */
  function placeOf({ knots, places }, value) {
    const next = Math.min(knots.length - 1, Math.max(1, below(knots, value, false))), last = next - 1;
    const part = Math.min(1, Math.max(0, (value - knots[last]) / (knots[next] - knots[last])));
    return places[last] + part * (places[next] - places[last]);
  }

  /** Lets the boxes of a filter on words choose which words pass. */
  function chooseWords(filter, card) {
    const reset = find("reset", card);
    const boxes = new Map([...card.querySelectorAll("[data-word]")].map((box) => [box.dataset.word, box]));
    const set = (word, passes) => {
      if (filter.is[word] !== passes) { filter.is[word] = passes; filter.moved = true; refresh(); }
      boxes.get(word).checked = passes;
      reset.hidden = !changed(filter);
      card.classList.toggle("changed", changed(filter));
    };
    filter.set = set;
    filter.reset = () => { for (const word of boxes.keys()) set(word, filter.was[word]); };
    reset.addEventListener("click", () => { filter.reset(); boxes.values().next().value.focus(); });
    for (const [word, box] of boxes) {
      box.disabled = false;
      box.checked = filter.is[word];
      box.addEventListener("change", () => set(word, box.checked));
    }
  }

  const KNOB = 16; // pixels: the width of a thumb in page.css
  /** Lets the pointer move the thumb that is nearer. The two sliders of a filter lie on each other, and get keys alone. */
  function drag(filter, track, dials, stopAt, slid) {
    let held = null;
    const far = ({ range }, event) => {
      const box = track.getBoundingClientRect(), part = (range.value - range.min) / (range.max - range.min);
      return event.clientX - (box.left + KNOB / 2 + part * (box.width - KNOB));
    };
    track.addEventListener("mousedown", (event) => event.preventDefault()); // it would take the focus away again
    track.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      const [low, high] = dials.map((dial) => far(dial, event));
      held = Math.abs(low) < Math.abs(high) || (low === high && low < 0) ? dials[0] : dials[1];
      track.setPointerCapture(event.pointerId);
      held.range.focus();
      slid(held.end, stopAt(event));
    });
    track.addEventListener("pointermove", (event) => { if (held) slid(held.end, stopAt(event)); });
    for (const end of ["pointerup", "pointercancel"]) track.addEventListener(end, () => { held = null; });
  }

  for (const filter of filters) apply(filter, false);
  for (let row = 0; row < rows; row++) recount(row, 1);

  for (const filter of filters) {
    const card = document.querySelector(`[data-filter="${filter.name}"]`);
    const sentence = find("fails", card);
    Object.assign(filter, { card, fails: sentence, failsWas: sentence.textContent, link: card.querySelector("[data-fails]"), room: find("sides", card), sides: {} });
    if (filter.words) { chooseWords(filter, card); continue; }
    const { stops, places } = filter, left = places[0], right = places[places.length - 1];
    const beyond = { min: stops[0], max: stops[stops.length - 1] };
    const stopPlaces = stops.map((stop) => placeOf(filter, stop));
    const reset = find("reset", card), between = find("between", card), track = find("ends", card);
    const dials = ENDS.map((end) => ({
      end,
      range: card.querySelector(`[type="range"][data-end="${end}"]`),
      field: card.querySelector(`[type="number"][data-end="${end}"]`),
      shade: find(`shade-${end}`, card),
    })).filter(({ range }) => range);

    /** Draws the bounds where they are; `not` is the field in which somebody types, and stays as it is. */
    const draw = (not) => {
      for (const { end, range, field, shade } of dials) {
        const value = filter.is[end];
        const at = placeOf(filter, value ?? beyond[end]);
        range.value = at;
        range.toggleAttribute("data-none", value === null);
        range.setAttribute("aria-valuetext", value === null ? "no bound" : String(value));
        if (field !== not) field.value = value === null ? "" : value;
        if (end === "min") shade.setAttribute("width", at - left); else { shade.setAttribute("x", at); shade.setAttribute("width", right - at); }
      }
      if (!dials.length) return;
      const [low, high] = ENDS.map((end) => (placeOf(filter, filter.is[end] ?? beyond[end]) - left) / (right - left));
      between.style.left = `${100 * low}%`;
      between.style.width = `${100 * Math.max(0, high - low)}%`;
      reset.hidden = !changed(filter);
      card.classList.toggle("changed", changed(filter));
    };
    const set = (end, value, not) => {
      if (filter.is[end] !== value) { filter.is[end] = value; filter.moved = true; refresh(); }
      draw(not);
    };
    /** One thumb does not pass the other. */
    const slid = (end, value) => {
      const { min, max } = filter.is;
      const held = end === "min" && max !== null ? Math.min(value, max) : end === "max" && min !== null ? Math.max(value, min) : value;
      set(end, value === beyond[end] ? null : held);
    };
    filter.set = set;
    filter.near = (value) => (filter.whole ? value : nearest(stops.slice(1, -1), value));
    filter.reset = () => { for (const end of ENDS) set(end, filter.was[end]); };
    reset.addEventListener("click", () => { filter.reset(); dials[0].range.focus(); });

    for (const { end, range, field } of dials) {
      range.disabled = field.disabled = false;
      range.addEventListener("input", () => slid(end, stops[stopPlaces.indexOf(nearest(stopPlaces, Number(range.value)))]));
      range.addEventListener("keydown", (event) => {
        const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 10, PageDown: -10 }[event.key];
        const edge = { Home: 0, End: stops.length - 1 }[event.key];
        if (step === undefined && edge === undefined) return;
        event.preventDefault();
        const value = filter.is[end] === null ? beyond[end] : filter.is[end];
        const here = below(stops, value, false) - (step > 0 && !stops.includes(value) ? 1 : 0);
        slid(end, stops[edge ?? Math.min(stops.length - 1, Math.max(0, here + step))]);
      });
      const typed = (event) => {
        const value = field.value.trim() === "" ? null : Number(field.value);
        if (field.validity.badInput || Number.isNaN(value)) return;
        set(end, value === null ? null : filter.near(value), event.type === "input" ? field : null);
      };
      field.addEventListener("input", typed);
      field.addEventListener("change", typed);
    }
    if (dials.length) drag(filter, track, dials, (event) => {
      const box = track.getBoundingClientRect();
      const part = Math.min(1, Math.max(0, (event.clientX - box.left - KNOB / 2) / (box.width - KNOB)));
      return stops[stopPlaces.indexOf(nearest(stopPlaces, left + part * (right - left)))];
    }, slid);
    draw();
  }
  for (const filter of filters) showSides(filter);
  show();
  readAddress();
  reveal(partOfPage());
  addEventListener("hashchange", () => { if (!readAddress()) writeAddress(); reveal(partOfPage()); });
  find("reset-all").addEventListener("click", () => { for (const filter of filters) filter.reset(); });
  find("copy").addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(yaml.textContent);
      copied.textContent = "copied";
    } catch { // not allowed for files in some browsers
      getSelection().selectAllChildren(yaml);
      copied.textContent = document.execCommand("copy") ? "copied" : "selected: copy it with Ctrl+C";
    }
  });
  document.documentElement.dataset.ready = "yes";
})();
