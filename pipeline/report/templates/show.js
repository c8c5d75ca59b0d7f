// The live page: a dropped file goes to the server once, what is typed each time it has settled.
(() => {
  const find = id => document.getElementById(id);
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const SETTLED = 400;
  let upload = null, draw = null, playing = !still.matches, time = 0, before = 0, ticking = false;
  let asking = false, changed = false, timer = 0;

  async function send(path, body) {
    let answer;
    try {
      answer = await fetch(path, { method: "POST", body });
    } catch {
      throw new Error("the server does not answer; is pipeline show still running?");
    }
    const content = await answer.json().catch(() => ({ error: `the server says ${answer.status}` }));
    if (!answer.ok) throw new Error(content.error);
    return content;
  }

  function tell(text, wrong) {
    find("message").textContent = text;
    find("message").classList.toggle("wrong", !!wrong);
  }

  async function take(file) {
    if (!file) return;
    if (file.size > Number(document.body.dataset.most) << 20) {
      return tell(`${file.name}: larger than ${document.body.dataset.most} MB`, true);
    }
    tell(`Reading ${file.name} …`);
    try {
      upload = await send(`files?name=${encodeURIComponent(file.name)}`, file);
    } catch (error) {
      return tell(error.message, true);
    }
    const choice = find("clip");
    choice.replaceChildren(...upload.names.map((name, at) => new Option(name, at)));
    choice.parentElement.hidden = upload.names.length < 2;
    tell([upload.name, ...upload.skipped].join("; "));
    show();
    ask();
  }

  function show() {
    const svg = find("figure"), clip = upload.clips[find("clip").value || 0];
    svg.replaceChildren();
    draw = skeletonFigure(svg, clip, upload.bones, upload.sides);
    time = playing ? 0 : clip.ms * Math.floor(clip.t / 2);
    find("play").hidden = false;
    draw(time);
    play(playing);
  }

  function play(on) {
    playing = on;
    find("play").textContent = on ? "Pause" : "Play";
    if (on && !ticking) requestAnimationFrame(tick);
    ticking = ticking || on;
  }
  function tick(now) {
    ticking = playing;
    if (playing) {
      time += Math.min(now - before, 100);
      draw(time);
      requestAnimationFrame(tick);
    }
    before = now;
  }

  // One question at a time; what has changed meanwhile is asked when the answer is there.
  async function ask() {
    if (!upload) return;
    changed = true;
    if (asking) return;
    asking = true;
    find("answers").setAttribute("aria-busy", "true");
    while (changed) {
      changed = false;
      const labels = find("labels").value.split("\n").filter(line => line.trim());
      const file = upload.file, gzsl = find("gzsl").checked;
      try {
        const answer = await send("answers", JSON.stringify({ file, labels, gzsl }));
        if (!changed) tellAnswer(answer);
      } catch (error) {
        if (!changed) tellNothing(error.message);
      }
    }
    asking = false;
    find("answers").setAttribute("aria-busy", "false");
  }

  let last = null;
  function tellAnswer(answer) {
    last = answer;
    const clip = answer.clips[find("clip").value || 0];
    const percent = value => `${(100 * value).toFixed(1)} %`;
    find("prediction").textContent = clip.prediction;
    find("top").replaceChildren(...clip.top.map(each => {
      const row = document.createElement("li"), name = document.createElement("span");
      const track = document.createElement("span"), fill = document.createElement("i");
      const value = document.createElement("span");
      row.className = `bar b0`;
      name.className = "name";
      name.textContent = each.label + (each.seen ? " (seen)" : "");
      track.className = "track";
      fill.style.setProperty("--v", each.probability);
      value.className = "val";
      value.textContent = percent(each.probability);
      track.append(fill);
      row.append(name, track, value);
      return row;
    }));
    find("more").textContent = [
      clip.p_seen === null ? "" : `A seen class: ${percent(clip.p_seen)}.`,
      `Nearest seen classes: ${clip.nearest_seen.map(each => `${each.label} ${percent(each.probability)}`).join(", ")}.`,
      clip.class_of_file ? `The file's name says: ${clip.class_of_file}.` : "",
    ].join(" ");
    find("notes").textContent = answer.notices.join(" · ");
  }
  function tellNothing(why) {
    last = null;
    find("prediction").textContent = "–";
    find("top").replaceChildren();
    find("more").textContent = "";
    find("notes").textContent = why;
  }

  const drop = find("drop");
  for (const kind of ["dragover", "drop", "dragleave"]) {
    // Beside the field too: else the browser would leave this page for the file.
    document.addEventListener(kind, event => {
      event.preventDefault();
      drop.classList.toggle("over", kind === "dragover");
      if (kind === "drop") take(event.dataTransfer.files[0]);
    });
  }
  find("file").addEventListener("change", event => take(event.target.files[0]));
  find("clip").addEventListener("change", () => { show(); if (last) tellAnswer(last); });
  find("play").addEventListener("click", () => play(!playing));
  find("labels").addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(ask, SETTLED); });
  for (const radio of document.querySelectorAll("[name=setting]")) radio.addEventListener("change", ask);
  still.addEventListener("change", () => { if (still.matches) play(false); });
})();
