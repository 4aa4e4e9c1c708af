// What OpenZeppelin's library says about claim trees: node oracle_openzeppelin.mjs CONTRACTS_FOLDER < dumps > answers.
// One dump a line in, one answer a line out: the tree it builds from the same values, and what it makes of the dump.

import { createRequire } from "node:module";
import { resolve } from "node:path";
import { createInterface } from "node:readline";

const require = createRequire(resolve(process.argv[2], "package.json"));
const { StandardMerkleTree } = require("@openzeppelin/merkle-tree");

for await (const line of createInterface({ input: process.stdin })) {
  const dump = JSON.parse(line);
  const built = StandardMerkleTree.of(dump.values.map(({ value }) => value), ["uint8", "address", "uint256"]);
  const loaded = StandardMerkleTree.load(dump); // hashes every leaf and node again, and throws at the first that differs
  const answer = {
    root: built.root,
    dump: built.dump(),
    proofs: dump.values.map((_, index) => loaded.getProof(index)),
  };
  process.stdout.write(JSON.stringify(answer) + "\n");
}
