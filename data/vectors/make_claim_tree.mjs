// Golden claim trees, made by OpenZeppelin's library: node make_claim_tree.mjs CONTRACTS_FOLDER > claim_tree.json
// Every proof that should hold and every one that should not is checked by that library before it is written.

import { createHash } from "node:crypto";
import { createRequire } from "node:module";
import { resolve } from "node:path";

const require = createRequire(resolve(process.argv[2], "package.json"));
const { StandardMerkleTree } = require("@openzeppelin/merkle-tree");

const ENCODING = ["uint8", "address", "uint256"];
const ZERO_ROOT = "0x" + "0".repeat(64);
const MAX_AMOUNT = 2n ** 96n - 1n;
const SIZES = [1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 16, 17];

const digest = (text) => createHash("sha256").update(text).digest("hex");

function makeValue(size, index) {
  const account = "0x" + digest(`account ${size} ${index >> 1}`).slice(0, 40); // both pools for most accounts
  const amount = [1n, MAX_AMOUNT][index] ?? BigInt("0x" + digest(`amount ${size} ${index}`).slice(0, 8 + (index % 17)));
  return [String(1 + (index % 2)), account, String(amount)];
}

const toLeaf = ([pool, account, cumulativeAmount]) => ({ pool: Number(pool), account, cumulativeAmount });
const holds = (root, value, proof) => StandardMerkleTree.verify(root, ENCODING, value, proof);

function describe(tree) {
  const leaves = [...tree.entries()].map(([index, value]) => {
    const proof = tree.getProof(index);
    if (!holds(tree.root, value, proof)) throw new Error(`no proof for ${value}`);
    return { ...toLeaf(value), leaf: tree.leafHash(value), proof };
  });
  return { root: tree.root, leaves };
}

const flip = (node) => node.slice(0, -1) + (parseInt(node.at(-1), 16) ^ 1).toString(16);

// The nearest thing to passing an inner node off as a leaf: its 64 bytes read as account and amount, proved by its path.
function passOffInnerNode({ tree }) {
  const [left, right] = [tree[3], tree[4]].sort();
  return { value: ["1", "0x" + left.slice(26), String(BigInt(right))], proof: [tree[2]] };
}

function makeBadProofs(tree, stranger) {
  const { root } = tree;
  const value = tree.at(0);
  const [pool, account, amount] = value;
  const proof = tree.getProof(0);
  const inner = passOffInnerNode(tree.dump());
  const cases = [
    ["the first node is missing", root, value, proof.slice(1)],
    ["the last node is missing", root, value, proof.slice(0, -1)],
    ["every node is missing", root, value, []],
    ["a node too many", root, value, [...proof, root]],
    ["two nodes exchanged", root, value, [proof[1], proof[0], ...proof.slice(2)]],
    ["one bit of a node differs", root, value, [flip(proof[0]), ...proof.slice(1)]],
    ["the proof of another leaf", root, value, tree.getProof(1)],
    ["another amount", root, [pool, account, String(BigInt(amount) + 1n)], proof],
    ["the other pool", root, [String(3 - pool), account, amount], proof],
    ["another account", root, [pool, stranger.at(0)[1], amount], proof],
    ["a leaf of another tree", root, stranger.at(0), stranger.getProof(0)],
    ["the root of another tree", stranger.root, value, proof],
    ["the zero root", ZERO_ROOT, value, proof],
    ["the zero root without a proof", ZERO_ROOT, value, []],
    ["an inner node in the place of a leaf", root, inner.value, inner.proof],
    ["the root in the place of a proof", root, value, [root]],
  ];
  return cases.map(([why, at, leaf, nodes]) => {
    if (holds(at, leaf, nodes)) throw new Error(`holds although ${why}`);
    return { why, root: at, ...toLeaf(leaf), proof: nodes };
  });
}

const trees = SIZES.map((size) =>
  StandardMerkleTree.of(Array.from({ length: size }, (_, index) => makeValue(size, index)), ENCODING),
);
const badProofs = [7, 8].flatMap((size) => makeBadProofs(trees[SIZES.indexOf(size)], trees[SIZES.indexOf(9)]));
console.log(JSON.stringify({ leafEncoding: ENCODING, trees: trees.map(describe), badProofs }, null, 1));
