// A drawing, which is translated as one draws. It is finer than what the model sees, so that lines stay smooth.
const BOARD_PX = 512, UNDOS = 40;
const PAUSE_MS = 150, FAST_MS = 40; // a translation slower than the second waits for a pause of the first
const past = [], tip = { x: BOARD_PX / 2, y: BOARD_PX / 2, down: false };
let wanted = 0, pace = 0, held = null; // the newest translation, how long one takes, the pointer that draws

const board = () => by("drawing").getContext("2d", { willReadFrequently: true });
const contentOf = (canvas) => canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
const drawing = () => contentOf(by("drawing"));
const paper = () => (by("dark").ariaPressed === "true" ? "#000000" : "#ffffff");

/** Remember the drawing as it is, for undo. */
function remember() {
  past.push(drawing());
  if (past.length > UNDOS) past.shift();
  by("undo").disabled = false;
}

function undo() {
  if (past.length) board().putImageData(past.pop(), 0, 0);
  by("undo").disabled = !past.length;
  follow();
}

function blank() {
  board().fillStyle = paper();
  board().fillRect(0, 0, BOARD_PX, BOARD_PX);
}

/** Swap dark lines on white and light lines on black; there is no way back by undo, but by the same button. */
function turnPaper() {
  by("dark").ariaPressed = String(by("dark").ariaPressed !== "true");
  const turn = (image) => {
    image.data.forEach((value, k) => { if (k % 4 < 3) image.data[k] = 255 - value; });
    return image;
  };
  past.forEach(turn);
  board().putImageData(turn(drawing()), 0, 0);
  const opposite = { "#000000": "#ffffff", "#ffffff": "#000000" };
  by("ink").value = opposite[by("ink").value] ?? by("ink").value;
  follow();
}

/** Draw, or rub out, from the tip to a place in the drawing. */
function stroke(x, y) {
  const context = board(), rubs = document.querySelector("[name=tool]:checked").value === "eraser";
  Object.assign(context, { lineCap: "round", lineWidth: by("nib").valueAsNumber * (rubs ? 3 : 1) });
  context.strokeStyle = rubs ? paper() : by("ink").value;
  context.beginPath();
  context.moveTo(tip.x, tip.y);
  context.lineTo(x, y);
  context.stroke();
  Object.assign(tip, { x, y });
  follow();
}

/** Where a pointer is in the drawing. */
function placeOf(event) {
  const { left, top, width, height } = by("drawing").getBoundingClientRect();
  return [((event.clientX - left) * BOARD_PX) / width, ((event.clientY - top) * BOARD_PX) / height];
}

/** Show the tip, which the arrow keys move. */
function showTip() {
  by("tip").hidden = false;
  by("tip").classList.toggle("down", tip.down);
  [by("tip").style.left, by("tip").style.top] = [tip.x, tip.y].map((at) => `${(100 * at) / BOARD_PX}%`);
}

/** Arrow keys move the tip, faster with shift; space lowers and lifts it. */
function steer(event) {
  const step = event.shiftKey ? 32 : 8;
  const way = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key];
  if (!way && event.key !== " ") return;
  event.preventDefault();
  if (way) {
    const [x, y] = [tip.x + way[0], tip.y + way[1]].map((at) => Math.min(BOARD_PX, Math.max(0, at)));
    if (tip.down) stroke(x, y);
    Object.assign(tip, { x, y });
  } else if ((tip.down = !tip.down)) {
    remember();
    stroke(tip.x, tip.y);
  }
  showTip();
}

/** The drawing as the model sees it: at the chosen side. */
function seen() {
  const side = Number(by("sides").value), context = new OffscreenCanvas(side, side).getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(by("drawing"), 0, 0, side, side);
  return context.getImageData(0, 0, side, side);
}

/** Translate the drawing once its last change is `PAUSE_MS` old, or at once where that is quick; only the newest counts. */
async function follow() {
  const mine = ++wanted;
  await new Promise((resume) => (pace < FAST_MS ? requestAnimationFrame(resume) : setTimeout(resume, PAUSE_MS)));
  if (mine !== wanted || busy || by("board").hidden) return;
  const input = seen(), began = performance.now();
  try {
    const output = await translate(input);
    pace = performance.now() - began;
    if (mine === wanted) draw(by("live"), output);
    by("pace").textContent = `${(pace / 1000).toFixed(2)} s`;
  } catch (error) {
    complain(error);
  }
}

/** Show the drawing in place of a result, or put it away. */
function showBoard(open) {
  by("board").hidden = !open;
  by("draw").ariaExpanded = String(open);
  if (!open) return;
  by("result").hidden = true;
  follow();
}

/** Offer a drawing beside files and camera. */
function offerDrawing() {
  const side = models[current].side, sides = [1, 2, 4].map((times) => times * side).filter((one) => one === side || one <= BOARD_PX);
  for (const one of sides) by("sides").add(new Option(`${one} x ${one} px`, one));
  by("inks").hidden = Object.values(models).every(({ inputs }) => inputs === 1);
  blank();
  const canvas = by("drawing"), acts = { undo, dark: turnPaper, rub: () => { remember(); blank(); follow(); } };
  for (const [id, act] of Object.entries(acts)) by(id).onclick = act;
  canvas.onpointerdown = (event) => {
    held = event.pointerId;
    by("tip").hidden = true;
    remember();
    const [x, y] = placeOf(event);
    Object.assign(tip, { x, y, down: false });
    stroke(x, y);
  };
  addEventListener("pointermove", (event) => {
    if (event.pointerId !== held) return;
    const all = event.getCoalescedEvents?.() ?? [];
    for (const one of all.length ? all : [event]) stroke(...placeOf(one));
  });
  for (const end of ["pointerup", "pointercancel"]) addEventListener(end, (event) => { if (event.pointerId === held) held = null; });
  canvas.onkeydown = steer;
  canvas.onblur = () => { tip.down = false; by("tip").hidden = true; };
  by("board").onkeydown = (event) => {
    if (event.key === "z" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); undo(); }
  };
  by("sides").onchange = follow;
  by("draw").disabled = false;
  by("draw").onclick = () => showBoard(by("board").hidden);
  by("keep").onclick = async () => download(await png(contentOf(by("live"))), "drawing-translated.png");
  by("source").onclick = async () => download(await png(drawing()), "drawing.png");
}
