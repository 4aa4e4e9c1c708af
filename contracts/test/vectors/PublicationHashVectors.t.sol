// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {VectorTest} from "./VectorTest.sol";

/// @notice The publications of data/vectors/publication_hash.json, which Python made and reads too.
contract PublicationHashVectors is VectorTest {
    struct PublicationVector {
        uint256 epoch;
        bytes32 root;
        bytes32 manifestHash;
        uint256 providerTotal;
        uint256 userTotal;
        uint256 revocations;
        bytes32 publicationHash;
    }

    string private constant TYPE = "PublicationVector(uint256 epoch,bytes32 root,bytes32 manifestHash,"
        "uint256 providerTotal,uint256 userTotal,uint256 revocations,bytes32 publicationHash)";
    string private constant FILE = "../data/vectors/publication_hash.json";

    /// @notice A deployed Vault that publishes the same, after as many revocations, has the same hash, and an attester
    /// can confirm it.
    function test_TheVaultHashesAsPythonDoes() external {
        bytes memory content = vm.parseJsonTypeArray(vm.readFile(FILE), ".publications", TYPE);
        PublicationVector[] memory vectors = abi.decode(content, (PublicationVector[]));
        vm.assertGe(vectors.length, 10, "publications in the file");
        for (uint256 i = 0; i < vectors.length; i++) {
            PublicationVector memory vector = vectors[i];
            _openVault(vector.epoch);
            for (uint256 j = 0; j < vector.revocations; j++) {
                _publish(vector.epoch, "wrong", j, j);
                _revoke(vector.epoch);
            }
            vm.prank(publisher);
            vault.publishRoot(
                vector.epoch,
                vector.root,
                vector.providerTotal,
                vector.userTotal,
                vector.manifestHash,
                vector.revocations
            );
            vm.assertEq(vault.publicationHash(vector.epoch), vector.publicationHash, "publication hash");
            vm.prank(attester);
            vault.attestRoot(vector.epoch, vector.publicationHash);
            vm.assertTrue(vault.hasAttested(vector.publicationHash, attester), "confirmed");
        }
    }
}
