# SPDX-License-Identifier: MPL-2.0
"""A bad wire: carries frames between two interfaces and holds each back for a time of its own, so that they overtake each
other; or loses it. What `tc netem` does, for kernels that have none.

    wire.py INTERFACE INTERFACE DELAY_MAX_MS LOSS_PER_CENT SEED
    wire.py --plain INTERFACE       its frames are then whole, with checksums: as a wire carries them
"""

import ctypes
import fcntl
import heapq
import random
import select
import socket
import struct
import sys
import time

SIOCETHTOOL = 0x8946
OFFLOADS = (0x17, 0x1f, 0x25, 0x2c)  # checksums, TSO, GSO, GRO: what leaves here must be whole frames
OUTGOING = 4                         # PACKET_OUTGOING
FRAME_MAX = 65535


def without_offloads(name):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for command in OFFLOADS:
            value = ctypes.create_string_buffer(struct.pack("II", command, 0), 8)
            try:
                fcntl.ioctl(control, SIOCETHTOOL, struct.pack("16sP16x", name.encode(), ctypes.addressof(value)))
            except OSError:
                pass  # it has none of this kind


def open_interface(name):
    end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    end.bind((name, 0))
    end.setblocking(False)
    return end


def main():
    delay_s, loss = float(sys.argv[3]) / 1000, float(sys.argv[4]) / 100
    dice = random.Random(int(sys.argv[5]))
    ends = [open_interface(name) for name in sys.argv[1:3]]
    held, count = [], 0
    print("ready", flush=True)
    while True:
        wait = max(0.0, held[0][0] - time.monotonic()) if held else None
        for end in select.select(ends, [], [], wait)[0]:
            for _ in range(64):
                try:
                    frame, address = end.recvfrom(FRAME_MAX)
                except BlockingIOError:
                    break
                if address[2] != OUTGOING and dice.random() >= loss:
                    count += 1
                    due = time.monotonic() + dice.random() * delay_s
                    heapq.heappush(held, (due, count, ends[1 - ends.index(end)], frame))
        now = time.monotonic()
        while held and held[0][0] <= now:
            _, _, end, frame = heapq.heappop(held)
            try:
                end.send(frame)
            except OSError:
                pass  # lost, as on any wire


if __name__ == "__main__":
    if sys.argv[1] == "--plain":
        without_offloads(sys.argv[2])
    else:
        main()
