// Philox4x32-10 (Salmon et al., SC 2011), and the signs of rlidim's family "rademacher" drawn by it.
"use strict";

const MULTIPLIERS = [0xd2511f53, 0xcd9e8d57];
const WEYL = [0x9e3779b9, 0xbb67ae85];
const ROUNDS = 10;
const RADEMACHER = 2; // the family's tag, the counter's last word

/** The high and the low half of the product of two 32-bit numbers. */
function product(a, b) {
  const [ah, al, bh, bl] = [a >>> 16, a & 0xffff, b >>> 16, b & 0xffff];
  const middle = ah * bl + Math.floor((al * bl) / 0x10000);
  const carried = (middle % 0x10000) + al * bh;
  const high = ah * bh + Math.floor(middle / 0x10000) + Math.floor(carried / 0x10000);
  return [high >>> 0, Math.imul(a, b) >>> 0];
}

/** The four words of a counter under a 64-bit key, its low word first. */
function philox([c0, c1, c2, c3], [k0, k1]) {
  for (let round = 0; round < ROUNDS; round += 1) {
    const [high0, low0] = product(MULTIPLIERS[0], c0);
    const [high1, low1] = product(MULTIPLIERS[1], c2);
    [c0, c1, c2, c3] = [(high1 ^ c1 ^ k0) >>> 0, low1, (high0 ^ c3 ^ k1) >>> 0, low0];
    k0 = (k0 + WEYL[0]) >>> 0;
    k1 = (k1 + WEYL[1]) >>> 0;
  }
  return [c0, c1, c2, c3];
}

/** The two words of a seed, given in decimal: it may have 64 bits. */
function keyOf(seed) {
  const key = BigInt(seed);
  return [Number(key & 0xffffffffn), Number(key >> 32n)];
}

/** P of D rows and d <= 32 columns: signs over the root of D, row by row; a counter serves four rows. */
function rademacher(D, d, seed) {
  const key = keyOf(seed), P = new Float32Array(D * d), scale = Math.fround(1 / Math.sqrt(D));
  for (let row = 0; row < D; row += 4) {
    const words = philox([row / 4, 0, 0, RADEMACHER], key);
    for (let next = 0; next < 4 && row + next < D; next += 1) {
      for (let column = 0; column < d; column += 1) {
        const negative = (words[next] >>> column) & 1;
        P[(row + next) * d + column] = negative ? -scale : scale;
      }
    }
  }
  return P;
}

if (typeof module !== "undefined") module.exports = { philox, rademacher };
