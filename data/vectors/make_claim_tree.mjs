// Golden claim trees, made by OpenZeppelin's library: node make_claim_tree.mjs CONTRACTS_FOLDER > claim_tree.json
// Every proof that should hold and every one that should not is checked by that library before it is written.

import { createHash } from "node:crypto";
import { createRequire } from "node:module";
import { resolve } from "node:path";

const require = createRequire(resolve(process.argv[2], "package.json"));
const { SimpleMerkleTree, StandardMerkleTree } = require("@openzeppelin/merkle-tree");
const { keccak256 } = createRequire(require.resolve("@openzeppelin/merkle-tree"))("ethereum-cryptography/keccak");

const ENCODING = ["uint8", "address", "uint256"];
const ZERO_NODE = "0x" + "0".repeat(64);
const ZERO_ACCOUNT = "0x" + "0".repeat(40);
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
// Node i of a dump has the children 2i + 1 and 2i + 2; the root is node 0.
function passOffInnerNode({ tree }, node, flipped) {
  const children = [tree[2 * node + 1], tree[2 * node + 2]].sort();
  const [account, amount] = flipped ? children.reverse() : children;
  const proof = [];
  for (let i = node; i > 0; i = (i - 1) >> 1) proof.push(tree[i % 2 ? i + 1 : i - 1]);
  return [["1", "0x" + account.slice(26), String(BigInt(amount))], proof];
}

// Trees of the same values under other rules: their proofs hold there, and must not hold here.
const toBytes = (hex) => Buffer.from(hex.slice(2), "hex");
const hash = (bytes) => Buffer.from(keccak256(bytes));
const toWord = (number) => Buffer.from(BigInt(number).toString(16).padStart(64, "0"), "hex");
const encode = ([pool, account, amount]) => Buffer.concat([toWord(pool), toWord(account), toWord(amount)]);
const pack = ([pool, account, amount]) => Buffer.concat([Buffer.from([pool]), toBytes(account), toWord(amount)]);
const largerFirst = (a, b) => "0x" + hash(Buffer.concat([a, b].map(toBytes).sort(Buffer.compare).reverse())).toString("hex");

function proveElsewhere(values, hashLeaf, nodeHash) {
  const tree = SimpleMerkleTree.of(values.map(hashLeaf), { nodeHash });
  return [tree.root, tree.getProof(0)];
}

function makeForeignRoots(tree) {
  const values = [...tree.entries()].map(([, value]) => value);
  const rules = [
    ["a root over leaves hashed once", (value) => hash(encode(value))],
    ["a root over packed leaves", (value) => hash(hash(pack(value)))],
    ["a root over leaves of 64 bytes, without the pool", (value) => hash(hash(encode(value).subarray(32)))],
    ["a root over 64 bytes hashed once, as inner nodes are", (value) => hash(encode(value).subarray(32))],
    ["a root over pairs with the larger node first", (value) => toBytes(tree.leafHash(value)), largerFirst],
  ];
  return rules.map(([why, ...rule]) => {
    const [root, proof] = proveElsewhere(values, ...rule);
    return [why, root, values[0], proof];
  });
}

function makeBadProofs(tree, stranger) {
  const { root } = tree;
  const value = tree.at(0);
  const [pool, account, amount] = value;
  const [, , otherAmount] = tree.at(1); // the same account, in the other pool
  const other = String(3 - pool);
  const proof = tree.getProof(0);
  const ownLeaf = tree.leafHash(value);
  const dump = tree.dump();
  const raise = (by) => [pool, account, String((BigInt(amount) + by) % 2n ** 256n)];
  const cases = [
    ["the first node is missing", root, value, proof.slice(1)],
    ["the last node is missing", root, value, proof.slice(0, -1)],
    ["every node is missing", root, value, []],
    ["a node too many", root, value, [...proof, root]],
    ["a zero node too many", root, value, [...proof, ZERO_NODE]],
    ["two nodes exchanged", root, value, [proof[1], proof[0], ...proof.slice(2)]],
    ["the nodes in reverse order", root, value, [...proof].reverse()],
    ["the first node twice", root, value, [proof[0], ...proof]],
    ["the leaf itself as the first node", root, value, [ownLeaf, ...proof]],
    ["the leaf itself in the place of the first node", root, value, [ownLeaf, ...proof.slice(1)]],
    ["one bit of a node differs", root, value, [flip(proof[0]), ...proof.slice(1)]],
    ["one bit of the last node differs", root, value, [...proof.slice(0, -1), flip(proof.at(-1))]],
    ["one bit of the root differs", flip(root), value, proof],
    ["the proof of another leaf", root, value, tree.getProof(1)],
    ["another amount", root, raise(1n), proof],
    ["no amount", root, [pool, account, "0"], proof],
    ["the amount and 2^96", root, raise(2n ** 96n), proof],
    ["the amount and 2^128", root, raise(2n ** 128n), proof],
    ["the amount and 2^255", root, raise(2n ** 255n), proof],
    ["the largest amount of all", root, [pool, account, String(2n ** 256n - 1n)], proof],
    ["the other pool", root, [other, account, amount], proof],
    ["the other pool, by the account's proof there", root, [other, account, amount], tree.getProof(1)],
    ["the amount of the account's other pool", root, [pool, account, otherAmount], proof],
    ["the amount of the account's other pool, by its proof", root, [pool, account, otherAmount], tree.getProof(1)],
    ["pool 0", root, ["0", account, amount], proof, "InvalidPool"],
    ["pool 3", root, ["3", account, amount], proof, "InvalidPool"],
    ["pool 255", root, ["255", account, amount], proof, "InvalidPool"],
    ["another account", root, [pool, stranger.at(0)[1], amount], proof],
    ["another account of the tree", root, [pool, tree.at(2)[1], amount], proof],
    ["another account of the tree, by its proof", root, [pool, tree.at(2)[1], amount], tree.getProof(2)],
    ["the zero account", root, [pool, ZERO_ACCOUNT, amount], proof, "InvalidAccount"],
    ["a leaf of another tree", root, stranger.at(0), stranger.getProof(0)],
    ["the root of another tree", stranger.root, value, proof],
    ["the zero root", ZERO_NODE, value, proof],
    ["the zero root without a proof", ZERO_NODE, value, []],
    ["an inner node in the place of a leaf", root, ...passOffInnerNode(dump, 1, false)],
    ["an inner node in the place of a leaf, the larger half first", root, ...passOffInnerNode(dump, 1, true)],
    ["the root's two nodes in the place of a leaf", root, ...passOffInnerNode(dump, 0, false)],
    ["the root's two nodes in the place of a leaf, the larger first", root, ...passOffInnerNode(dump, 0, true)],
    ["the root in the place of a proof", root, value, [root]],
    ["the leaf's hash in the place of the root", ownLeaf, value, proof],
    ...makeForeignRoots(tree),
  ];
  return cases.map(describeBadProof);
}

// A tree of one leaf: its root is the leaf's hash, and no proof but the empty one is right.
function makeLoneBadProofs(tree) {
  const { root } = tree;
  const value = tree.at(0);
  const [pool, account, amount] = value;
  const cases = [
    ["a proof for a lone leaf", root, value, [root]],
    ["a zero node for a lone leaf", root, value, [ZERO_NODE]],
    ["another amount than the lone leaf's", root, [pool, account, String(BigInt(amount) + 1n)], []],
    ["the other pool than the lone leaf's", root, [String(3 - pool), account, amount], []],
  ];
  return cases.map(describeBadProof);
}

// `refusal` is the Vault's error and the name of its claim code.
function describeBadProof([why, root, leaf, proof, refusal = "InvalidProof"]) {
  if (holds(root, leaf, proof)) throw new Error(`holds although ${why}`);
  return { why, refusal, root, ...toLeaf(leaf), proof };
}

const trees = SIZES.map((size) =>
  StandardMerkleTree.of(Array.from({ length: size }, (_, index) => makeValue(size, index)), ENCODING),
);
const ofSize = (size) => trees[SIZES.indexOf(size)];
const badProofs = [7, 8].flatMap((size) => makeBadProofs(ofSize(size), ofSize(9)));
badProofs.push(...makeLoneBadProofs(ofSize(1)));
console.log(JSON.stringify({ leafEncoding: ENCODING, trees: trees.map(describe), badProofs }, null, 1));
