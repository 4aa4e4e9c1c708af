// OpenZeppelin's own tree over the same claims: node openzeppelin.mjs CONTRACTS_FOLDER CLAIMS.csv
// Each line is `pool,account,amount`. One line of JSON tells the root and the seconds from values in memory to the root.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { resolve } from "node:path";

const require = createRequire(resolve(process.argv[2], "package.json"));
const { StandardMerkleTree } = require("@openzeppelin/merkle-tree");

const values = readFileSync(process.argv[3], "utf8").trimEnd().split("\n").map((line) => line.split(","));
const began = performance.now();
const { root } = StandardMerkleTree.of(values, ["uint8", "address", "uint256"]);
process.stdout.write(JSON.stringify({ root, seconds: (performance.now() - began) / 1000 }) + "\n");
