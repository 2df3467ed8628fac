"use strict";
// Choosing between two captions without knowing whose they are. Choices are kept in the browser, under the page's name.
(() => {
  const list = document.getElementById("choices");
  const find = (is, within = document) => within.querySelector(`[data-is="${is}"]`);
  if (list) {
    const cards = [...list.querySelectorAll(".choice")];
    const key = `clipmill compare ${list.dataset.name}`;
    const right = (card) => (card.dataset.left === "a" ? "b" : "a");
    let choices = {}, order = [], now = 0, revealed = false;
    try {
      ({ choices, order } = JSON.parse(localStorage.getItem(key)) || { choices, order });
    } catch { /* a browser that keeps nothing: choices last as long as the page */ }

    function keep() {
      try {
        localStorage.setItem(key, JSON.stringify({ choices, order }));
      } catch { /* as above */ }
    }

    /** The run that a choice prefers; null for none. */
    const preferred = (card) => ({ left: card.dataset.left, right: right(card) })[choices[card.dataset.clip]] || null;

    /** Between which shares the true one lies with 95 %, by Wilson's interval (1927). */
    function interval(wins, all) {
      const z = 1.959964, share = wins / all, scale = 1 + z * z / all;
      const middle = (share + z * z / (2 * all)) / scale;
      const reach = z * Math.sqrt(share * (1 - share) / all + z * z / (4 * all * all)) / scale;
      return [middle - reach, middle + reach];
    }

    const percent = (value) => `${Math.round(100 * value)} %`;

    function tally() {
      const won = { a: 0, b: 0 };
      let equal = 0;
      for (const card of cards) {
        const one = preferred(card);
        if (one) won[one] += 1;
        else if (choices[card.dataset.clip]) equal += 1;
      }
      const all = won.a + won.b;
      const counts = `a ${won.a}, b ${won.b}, as good ${equal}`;
      if (!all) return counts;
      const [low, high] = interval(won.a, all);
      return `${counts}: a is preferred in ${percent(won.a / all)} of ${all} (95 %: ${percent(low)} to ${percent(high)})`;
    }

    function show() {
      for (const card of cards) {
        const choice = choices[card.dataset.clip];
        const sides = card.querySelectorAll(".side");
        sides[0].classList.toggle("chosen", choice === "left");
        sides[1].classList.toggle("chosen", choice === "right");
        const said = { left: "left", right: "right", equal: "as good" }[choice] || "";
        find("said", card).textContent = revealed ? `${said}${said && " · "}left is ${card.dataset.left}, right is ${right(card)}` : said;
      }
      find("done").textContent = String(order.length);
      find("tally").textContent = revealed ? tally() : "";
      find("undo").disabled = !order.length;
    }

    function go(place, focus = true) {
      cards[now].classList.remove("now");
      now = Math.max(0, Math.min(cards.length - 1, place));
      cards[now].classList.add("now");
      if (focus) {
        cards[now].focus({ preventScroll: true });
        cards[now].scrollIntoView({ block: "center" });
      }
    }

    function choose(card, choice) {
      const clip = card.dataset.clip;
      if (!(clip in choices)) order.push(clip);
      choices[clip] = choice;
      keep();
      show();
      go(cards.indexOf(card) + 1);
    }

    function undo() {
      const clip = order.pop();
      if (clip === undefined) return;
      delete choices[clip];
      keep();
      show();
      go(cards.findIndex((card) => card.dataset.clip === clip));
    }

    function save() {
      const lines = cards.filter((card) => card.dataset.clip in choices).map((card) =>
        JSON.stringify({ clip_id: card.dataset.clip, better: preferred(card), left: card.dataset.left }));
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([lines.join("\n") + "\n"], { type: "application/x-ndjson" }));
      link.download = "compare.jsonl";
      link.click();
      URL.revokeObjectURL(link.href);
    }

    list.addEventListener("click", (event) => {
      const button = event.target.closest("[data-choose]");
      if (button) choose(button.closest(".choice"), button.dataset.choose);
    });
    find("undo").addEventListener("click", undo);
    find("save").addEventListener("click", save);
    find("reveal").addEventListener("click", (event) => {
      revealed = !revealed;
      event.currentTarget.setAttribute("aria-pressed", String(revealed));
      show();
    });
    document.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea")) return;
      const acts = {
        ArrowLeft: () => choose(cards[now], "left"), 1: () => choose(cards[now], "left"),
        ArrowRight: () => choose(cards[now], "right"), 2: () => choose(cards[now], "right"),
        0: () => choose(cards[now], "equal"), u: undo, j: () => go(now + 1), k: () => go(now - 1),
      };
      if (!(event.key in acts)) return;
      event.preventDefault();
      acts[event.key]();
    });
    const open = cards.findIndex((card) => !(card.dataset.clip in choices));
    go(open < 0 ? 0 : open, false);
    show();
  }
  document.documentElement.dataset.ready = "";
})();
