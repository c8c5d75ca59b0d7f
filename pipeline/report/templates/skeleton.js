// A skeleton in an <svg>: one path for the bones of each side of each body. `clip` has bodies m,
// frames t of ms milliseconds each, and xy, bytes of [m, t, joints, 2] in base64; 255: not tracked.
function skeletonFigure(svg, clip, bones, sides) {
  const bytes = Uint8Array.from(atob(clip.xy), c => c.charCodeAt(0));
  const joints = bytes.length / (2 * clip.m * clip.t);
  const kinds = ["", "left", "right"];
  const paths = Array.from({ length: clip.m }, (_, body) => kinds.map(side => {
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    path.setAttribute("class", `bone body${body} ${side}`);
    return svg.appendChild(path);
  }));
  // Draws the moment of so many milliseconds, between two frames where it lies between them.
  return time => {
    const moment = (time / clip.ms) % clip.t, frame = Math.floor(moment), share = moment - frame;
    const next = Math.min(frame + 1, clip.t - 1);
    paths.forEach((own, body) => {
      const lines = ["", "", ""];
      const at = joint => {
        const a = 2 * ((body * clip.t + frame) * joints + joint);
        let b = 2 * ((body * clip.t + next) * joints + joint);
        if (bytes[a] === 255) return "";
        if (bytes[b] === 255) b = a;
        return [0, 1].map(i => (bytes[a + i] + share * (bytes[b + i] - bytes[a + i])).toFixed(1)).join(" ");
      };
      bones.forEach(([child, parent], number) => {
        const from = at(child), to = at(parent);
        if (from && to) lines[kinds.indexOf(sides[number])] += `M${from}L${to}`;
      });
      own.forEach((path, kind) => path.setAttribute("d", lines[kind]));
    });
  };
}
