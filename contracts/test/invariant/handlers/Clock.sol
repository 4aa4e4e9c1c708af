// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Books} from "../Books.sol";
import {Player} from "./Player.sol";

/// @title Time: a little, a lot, and to the second where something happens
contract Clock is Player {
    constructor(Books books_) Player(books_, "clock") {}

    function passSeconds(uint256 amount) external {
        _pass(bound(amount, 1, 1 hours));
    }

    function passHours(uint256 amount) external {
        _pass(bound(amount, 1, 30) * 1 hours);
    }

    function passDays(uint256 amount) external {
        _pass(bound(amount, 1, 9) * 1 days);
    }

    function toActivation(bool short) external {
        uint256 pending = books.pending();
        if (pending == NONE) return _idle();
        _to(books.publication(pending).activatesAt, short);
    }

    function toMidnightOrEndOfPause(bool short, bool midnight) external {
        if (midnight) return _to((block.timestamp / 1 days + 1) * 1 days, short);
        uint256 until = books.claimsPausedUntil();
        _to(until > block.timestamp ? until : books.publishingPausedUntil(), short);
    }

    function _pass(uint256 amount) private {
        vm.warp(block.timestamp + amount);
        books.countDone(name);
    }

    function _to(uint256 time, bool short) private {
        if (short) time -= time == 0 ? 0 : 1;
        if (time <= block.timestamp) return _idle();
        vm.warp(time);
        books.countDone(name);
    }
}
