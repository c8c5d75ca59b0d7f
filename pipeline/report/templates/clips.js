// Skeletons that move: the first clips, those behind a cell of a matrix, those of t-SNE points.
(function () {
  var MOST_CARDS = 12;
  var still = matchMedia("(prefers-reduced-motion: reduce)");
  var playing = !still.matches, cards = new Map(), before = 0, ticking = false;
  var seen = new IntersectionObserver(function (entries) {
    entries.forEach(function (entry) {
      var card = cards.get(entry.target);
      if (card) card.visible = entry.isIntersecting;
    });
    wake();
  });

  function make(parent, name, attributes, text) {
    var svg = name === "svg" || parent instanceof SVGElement;
    var node = svg ? document.createElementNS("http://www.w3.org/2000/svg", name)
      : document.createElement(name);
    Object.keys(attributes || {}).forEach(function (key) { node.setAttribute(key, attributes[key]); });
    if (text) node.textContent = text;
    return parent.appendChild(node);
  }

  function percent(values, at) { return values.length ? " " + values[at].toFixed(1) + "\u00a0%" : ""; }

  // Row or column of a class in the matrices; the last is that of all seen ones.
  function position(data, label) {
    var at = data.unseen.indexOf(label);
    return at < 0 ? data.unseen.length : at;
  }

  // What a run says of a clip: two lines.
  function answer(data, at, run) {
    var own = data.clips[at].y, zsl = run.zsl[at];
    return [zsl < 0 ? "of a seen class"
      : zsl === own ? "✓ recognized" + percent(run.p, at)
      : "✗ taken for " + data.names[zsl] + percent(run.p, at)
        + (run.p.length ? "; its own class" + percent(run.p_true, at) : ""),
    "GZSL: " + data.names[run.gzsl[at]] + ", p(seen)" + percent(run.p_seen, at)];
  }

  function tick(now) {
    var active = false, passed = Math.max(0, Math.min(now - before, 100));
    before = now;
    cards.forEach(function (card) {
      if (!card.playing || !card.visible) return;
      active = true;
      card.time += passed;
      card.draw(card.time);
    });
    ticking = active;
    if (active) requestAnimationFrame(tick);
  }
  function wake() {
    if (!ticking) { ticking = true; before = performance.now(); requestAnimationFrame(tick); }
  }

  function play(card, on) {
    card.playing = on;
    card.button.textContent = on ? "Pause" : "Play";
    card.button.setAttribute("aria-label", card.button.textContent + " " + card.name);
    wake();
  }
  function playAll(on) {
    playing = on;
    cards.forEach(function (card) { play(card, on); });
    document.querySelectorAll("button.all").forEach(function (button) {
      button.textContent = on ? "Pause all" : "Play all";
    });
  }

  function add(parent, data, at, run) {
    var clip = data.clips[at], name = data.names[clip.y], lines = answer(data, at, run);
    var node = make(parent, parent.tagName === "UL" ? "li" : "div", { "class": "clip" });
    var svg = make(node, "svg", {
      viewBox: "-10 -10 275 275", role: "img", "aria-label": "Skeleton: " + name + ", " + lines[0] });
    var card = { name: name, visible: true, draw: skeletonFigure(svg, clip, data.bones, data.side),
                 time: playing ? 0 : clip.ms * Math.floor(clip.t / 2) };
    make(node, "strong", {}, name);
    lines.forEach(function (line) { make(node, "span", {}, line); });
    make(node, "small", {}, "seed " + run.seed + ", " + clip.id);
    card.button = make(node, "button", { type: "button" });
    card.button.addEventListener("click", function () { play(card, !card.playing); });
    cards.set(node, card);
    seen.observe(node);
    play(card, playing);
    card.draw(card.time);
  }
  function empty(parent) {
    Array.from(parent.children).forEach(function (node) { seen.unobserve(node); cards.delete(node); });
    parent.textContent = "";
  }

  // The pictures of the t-SNE: a slider goes through the points, the pointer picks the nearest.
  function points(panel, data, number) {
    var svg = panel.querySelector("svg"), place = data.places[number];
    var rows = data.rows.map(function (_, row) { return row; }).filter(
      function (row) { return data.rows[row] >= 0; });
    // Class by class, the seen ones last.
    function order(row) { return position(data, data.clips[data.rows[row]].y); }
    rows.sort(function (a, b) { return order(a) - order(b); });
    if (!rows.length) return;
    var slider = make(panel, "input", { type: "range", min: 0, max: rows.length - 1, value: 0,
      "aria-label": "Clip in the drawing of " + panel.querySelector("h4").textContent });
    var holder = make(panel, "div", { "class": "picked" });
    var ring = make(svg, "circle", { r: 9, "class": "ring", cx: -99, cy: -99 }), shown = -1;
    function pick(index) {
      if (index === shown) return;
      shown = index;
      var row = rows[index], at = data.rows[row], run = data.runs[0];
      ring.setAttribute("cx", place[2 * row]);
      ring.setAttribute("cy", place[2 * row + 1]);
      slider.value = index;
      slider.setAttribute("aria-valuetext",
        data.names[data.clips[at].y] + ", " + answer(data, at, run)[0]);
      empty(holder);
      add(holder, data, at, run);
    }
    slider.addEventListener("input", function () { pick(Number(slider.value)); });
    function point(event) {
      var box = svg.getBoundingClientRect(), best = -1, least = Infinity;
      var scale = svg.viewBox.baseVal.width / box.width;
      var x = (event.clientX - box.left) * scale, y = (event.clientY - box.top) * scale;
      rows.forEach(function (row, index) {
        var distance = Math.hypot(place[2 * row] - x, place[2 * row + 1] - y);
        if (distance < least) { least = distance; best = index; }
      });
      if (least < 25) pick(best);
    }
    svg.addEventListener("pointermove", point);
    svg.addEventListener("pointerdown", point);
    pick(0);
  }

  document.querySelectorAll("section.setting").forEach(function (section) {
    var source = section.querySelector("script.clip-data");
    if (!source) return;
    var data = JSON.parse(source.textContent), list = section.querySelector(".cards");
    var which = section.querySelector(".which"), all = section.querySelector("button.all");
    var back = section.querySelector("button.back");
    function show(pairs, text, cell) {
      empty(list);
      pairs.forEach(function (pair) { add(list, data, pair[0], data.runs[pair[1]]); });
      which.textContent = text;
      back.hidden = !cell;
    }
    function first() { show(data.first, which.dataset.first, false); }
    function behind(link) {
      var cell = link.dataset.cell.split(" "), task = cell[0], found = [];
      data.runs.forEach(function (run, number) {
        data.clips.forEach(function (clip, at) {
          if (position(data, clip.y) === Number(cell[1])
              && position(data, run[task][at]) === Number(cell[2])
              && run[task][at] >= 0) found.push([at, number]);
        });
      });
      function sure(pair) { return data.runs[pair[1]].p[pair[0]] || 0; }
      found.sort(function (a, b) { return sure(b) - sure(a); });
      found = found.slice(0, MOST_CARDS);
      show(found, link.dataset.says + ": " + found.length + " of " + link.dataset.count
        + " clips over all seeds, the surest first.", true);
    }
    all.hidden = false;
    all.addEventListener("click", function () { playAll(!playing); });
    back.addEventListener("click", function () { first(); all.focus(); });
    section.querySelectorAll("a[data-cell]").forEach(function (link) {
      link.addEventListener("click", function () { behind(link); });
    });
    section.querySelectorAll(".panel[data-picture]").forEach(function (panel) {
      points(panel, data, Number(panel.dataset.picture));
    });
    first();
  });
  playAll(playing);
  still.addEventListener("change", function () { if (still.matches) playAll(false); });
})();
