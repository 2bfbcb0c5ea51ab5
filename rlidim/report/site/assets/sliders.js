// The page's stage: sliders make a policy, the policy drives a cart, and the page says for how long.
"use strict";

const about = JSON.parse(document.getElementById("policy").textContent);
about.start = decoded(about.theta_0);
const P = rademacher(about.D, about.d, about.seed);
const inputs = [...document.querySelectorAll(".controls input")];
const canvas = document.querySelector("canvas");
const said = document.getElementById("said");
const SPEED = 50; // steps a second, as Gymnasium shows them

let theta, state, steps, over;

const numbers = () => inputs.map((input) => Number(input.value));
const small = () => 0.1 * Math.random() - 0.05;

function begin() {
  theta = parameters(about, P, numbers());
  state = [small(), small(), small(), small()];
  steps = 0;
  over = 0;
}

function set(values) {
  inputs.forEach((input, index) => (input.value = values[index]));
  show();
  begin();
}

function show() {
  for (const input of inputs) input.nextElementSibling.value = Number(input.value).toFixed(2);
}

/** How many of fresh episodes' steps the pole stays up, at most the episode's length. */
function lasts(policy) {
  let at = [small(), small(), small(), small()];
  for (let count = 1; count <= about.steps; count += 1) {
    at = step(at, act(about.sizes, policy, at));
    if (fallen(at)) return count;
  }
  return about.steps;
}

function tell() {
  const tried = Array.from({ length: 20 }, () => lasts(theta));
  const mean = tried.reduce((sum, count) => sum + count) / tried.length;
  const verdict = mean >= 475 ? "solved" : mean >= 100 ? "not solved" : "it falls at once";
  said.textContent =
    `Up for ${Math.round(mean)} of ${about.steps} steps, in the mean of 20 episodes: ${verdict}.`;
}

function paint() {
  const context = canvas.getContext("2d"), style = getComputedStyle(document.body);
  const [width, height] = [canvas.width, canvas.height], ground = 0.78 * height;
  const scale = width / (2 * FARTHEST + 1), x = width / 2 + state[0] * scale;
  const ink = style.color, accent = style.getPropertyValue("--es");
  context.clearRect(0, 0, width, height);
  context.strokeStyle = style.getPropertyValue("--rule");
  context.lineWidth = 2;
  context.beginPath();
  context.moveTo(0, ground);
  context.lineTo(width, ground);
  context.stroke();
  context.fillStyle = ink;
  context.beginPath();
  context.roundRect(x - 38, ground - 22, 76, 22, 5);
  context.fill();
  context.strokeStyle = accent;
  context.lineWidth = 11;
  context.lineCap = "round";
  context.beginPath();
  context.moveTo(x, ground - 24);
  context.lineTo(x + 2 * HALF_LENGTH * scale * 1.3 * Math.sin(state[2]), ground - 24 - 2 * HALF_LENGTH * scale * 1.3 * Math.cos(state[2]));
  context.stroke();
  context.fillStyle = style.getPropertyValue("--soft");
  context.font = "20px system-ui, sans-serif";
  context.fillText(`${steps} steps`, 16, 32);
}

function frame() {
  if (over > 0) {
    over -= 1;
    if (over === 0) begin();
  } else {
    state = step(state, act(about.sizes, theta, state));
    steps += 1;
    if (fallen(state) || steps >= about.steps) over = SPEED; // a second's pause
  }
  paint();
}

let last = 0;
function run(now) {
  if (now - last > 1000 / SPEED - 4) {
    last = now;
    frame();
  }
  requestAnimationFrame(run);
}

for (const input of inputs) {
  input.addEventListener("input", () => { show(); begin(); });
  input.addEventListener("change", tell);
}
const button = (name, action) => document.getElementById(name).addEventListener("click", action);
button("solution", () => { set(about.theta_d); tell(); });
button("zero", () => { set(about.theta_d.map(() => 0)); tell(); });
button("random", () => { set(inputs.map((input) => (2 * Math.random() - 1) * input.max)); tell(); });
button("push", () => { state[3] += Math.random() < 0.5 ? -1 : 1; });

set(about.theta_d);
tell();
requestAnimationFrame(run);
