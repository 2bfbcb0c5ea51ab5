// CartPole-v1 as Gymnasium has it, and a perceptron that drives it.
"use strict";

const GRAVITY = 9.8, CART = 1.0, POLE = 0.1, HALF_LENGTH = 0.5, FORCE = 10.0, TICK = 0.02;
const FARTHEST = 2.4, STEEPEST = (12 * 2 * Math.PI) / 360;

/** The state after one step: place, velocity, angle, angular velocity; action 1 pushes to the right. */
function step([place, velocity, angle, spin], action) {
  const force = action === 1 ? FORCE : -FORCE, total = CART + POLE, lever = POLE * HALF_LENGTH;
  const cosine = Math.cos(angle), sine = Math.sin(angle);
  const shared = (force + lever * spin * spin * sine) / total;
  const turn =
    (GRAVITY * sine - cosine * shared) / (HALF_LENGTH * (4 / 3 - (POLE * cosine * cosine) / total));
  const push = shared - (lever * turn * cosine) / total;
  return [place + TICK * velocity, velocity + TICK * push, angle + TICK * spin, spin + TICK * turn];
}

const fallen = ([place, , angle]) => Math.abs(place) > FARTHEST || Math.abs(angle) > STEEPEST;

/** theta_0 + P theta_d in float32. */
function parameters(about, P, numbers) {
  const theta = new Float32Array(about.D);
  for (let row = 0; row < about.D; row += 1) {
    let sum = 0;
    for (let column = 0; column < about.d; column += 1) sum += P[row * about.d + column] * numbers[column];
    theta[row] = about.start[row] + sum;
  }
  return theta;
}

/** The outputs of a perceptron with rectified hidden units: each layer's weight (out, in), then its bias. */
function outputs(sizes, theta, observation) {
  let at = 0, layer = observation;
  for (let depth = 1; depth < sizes.length; depth += 1) {
    const [inputs, units] = [sizes[depth - 1], sizes[depth]], next = new Float32Array(units);
    const bias = at + inputs * units;
    for (let unit = 0; unit < units; unit += 1) {
      let sum = theta[bias + unit];
      for (let input = 0; input < inputs; input += 1) sum += theta[at + unit * inputs + input] * layer[input];
      next[unit] = depth < sizes.length - 1 ? Math.max(sum, 0) : sum;
    }
    at = bias + units;
    layer = next;
  }
  return layer;
}

/** The action of the larger output; the first of equals. */
function act(sizes, theta, state) {
  const values = outputs(sizes, theta, Float32Array.from(state));
  return values[1] > values[0] ? 1 : 0;
}

/** Float32 numbers of base64. */
function decoded(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return new Float32Array(bytes.buffer);
}

if (typeof module !== "undefined") module.exports = { act, decoded, fallen, parameters, step };
