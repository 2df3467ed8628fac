"use strict";
// What if: recomputes verdicts from the table of scores. `judge.py` says what the bits and fates mean, `scales.py` the codes.
(async () => {
  const NOT_CAPTIONED = 1, BAD_TEXT = 2, NOT_CUT = 3, BAD_FILE = 4, DUPLICATE = 5, BAD_ANSWER = 6;
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
    const stage = { [DUPLICATE]: "duplicates", [BAD_ANSWER]: "answers", [BAD_TEXT]: "texts", [BAD_FILE]: "files" }[fate[row]];
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
  };

  function recount(row, sign) {
    const out = first(fails, row), maybe = first(unsure, row), end = Math.min(out, maybe);
    const length = lengths[seconds[row]];
    sums.clips[end] += sign;
    sums.length[end] += sign * length;
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
      mark(fails, row, stage, to === FAILS);
      mark(unsure, row, stage, to === UNSURE);
      if (counted) recount(row, 1);
    }
  }

  /** By stage: clips and seconds that have passed it, and clips of which that is unknown. Also how many clips would still
      have to be captioned or cut, and the standard errors. */
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
  const clips = [...document.querySelectorAll("[data-picture]")].map((figure) => ({
    figure, badge: figure.querySelector(".badge"), row: rows + Number(figure.dataset.picture),
  }));
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
      row.hidden = names.has(name) && !active.has(name);
      clips.textContent = same ? was.clips : about + count(stage.clips);
      time.textContent = same ? was.hours : aboutTime + hours(stage.seconds);
      unknown.textContent = stage.unknown ? about + count(stage.unknown) : "";
      bar.style.width = same ? was.width : `${(100 * stage.clips) / (data.found || 1)}%`;
    });
    find("funnel").classList.toggle("open", now.passed.some(({ unknown }) => unknown > 0));
    for (const { figure, badge, row } of clips) {
      const state = first(fails, row) < stages ? "out" : first(unsure, row) < stages ? "unknown" : "kept";
      if (figure.dataset.now !== state) {
        figure.dataset.now = state;
        badge.textContent = state;
      }
    }
    const end = now.passed[stages - 1];
    const error = (value, text) => (about && value ? ` ± ${text(value)}` : "");
    result.replaceChildren(
      part("kept", `kept: ${about}${count(end.clips)}${error(now.clipError, count)}`),
      part("", `of ${plural(data.clips, "clip")}, ${aboutTime}${hours(end.seconds)}${error(now.timeError, hours)} hours`),
      ...(now.caption ? [part("todo", `${about}${count(now.caption)} would still have to be captioned and cut`)] : []),
      ...(now.cut ? [part("todo", `${about}${count(now.cut)} would still have to be cut`)] : []),
      ...(end.unknown ? [part("unknown", `unknown: ${about}${count(end.unknown)} (score not computed, would have to be scored)`)] : []),
    );
    dock.hidden = !touched.length;
    const lines = filters.map((filter) => (filter.words ? lineOfWords(filter) : line(filter, pinned(filter, moved)))).join("");
    yaml.textContent = lines ? `filters:\n${lines}` : "# nothing has been changed";
    copied.textContent = "";
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
      for (const filter of filters) if (filter.moved) { apply(filter, true); filter.moved = false; }
      show();
    });
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
    filter.reset = () => { for (const word of boxes.keys()) set(word, filter.was[word]); };
    reset.addEventListener("click", () => { filter.reset(); boxes.values().next().value.focus(); });
    for (const [word, box] of boxes) {
      box.disabled = false;
      box.checked = filter.is[word];
      box.addEventListener("change", () => set(word, box.checked));
    }
  }

  for (const filter of filters) apply(filter, false);
  for (let row = 0; row < rows; row++) recount(row, 1);

  for (const filter of filters) {
    const card = document.querySelector(`[data-filter="${filter.name}"]`);
    if (filter.words) { chooseWords(filter, card); continue; }
    const { stops, places } = filter, left = places[0], right = places[places.length - 1];
    const beyond = { min: stops[0], max: stops[stops.length - 1] };
    const stopPlaces = stops.map((stop) => placeOf(filter, stop));
    const reset = find("reset", card);
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
      reset.hidden = !changed(filter);
      card.classList.toggle("changed", changed(filter));
    };
    const set = (end, value, not) => {
      if (filter.is[end] !== value) { filter.is[end] = value; filter.moved = true; refresh(); }
      draw(not);
    };
    const slid = (end, value) => set(end, value === beyond[end] ? null : value);
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
        set(end, value === null || filter.whole ? value : nearest(stops.slice(1, -1), value), event.type === "input" ? field : null);
      };
      field.addEventListener("input", typed);
      field.addEventListener("change", typed);
    }
    draw();
  }
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
