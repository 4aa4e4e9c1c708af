// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";

/// @title The least that a Merkle distributor can be, in the manner of Uniswap's
/// @notice One root for ever, one bit a leaf. Written afresh to compare gas under the same compiler; no roles, no pause, no
/// second epoch, no bound on what is paid. For the benchmark only.
contract BitmapDistributor {
    using SafeERC20 for IERC20;

    IERC20 public immutable token;
    bytes32 public immutable root;
    mapping(uint256 word => uint256 bits) private _claimed;

    event Claimed(uint256 index, address account, uint256 amount);

    error AlreadyClaimed(uint256 index);
    error InvalidProof(uint256 index);

    constructor(IERC20 token_, bytes32 root_) {
        token = token_;
        root = root_;
    }

    function claim(uint256 index, address account, uint256 amount, bytes32[] calldata proof) external {
        uint256 bit = 1 << (index & 0xff);
        uint256 word = _claimed[index >> 8];
        if (word & bit != 0) revert AlreadyClaimed(index);
        bytes32 leaf = keccak256(abi.encodePacked(index, account, amount));
        if (!MerkleProof.verifyCalldata(proof, root, leaf)) revert InvalidProof(index);
        _claimed[index >> 8] = word | bit;
        token.safeTransfer(account, amount);
        emit Claimed(index, account, amount);
    }
}
