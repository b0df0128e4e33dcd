# SPDX-License-Identifier: MPL-2.0
#
# arith.capnp - the work, as Cap'n Proto has it.
@0xd3a1f0c7b2e45961;

interface Arith {
  add @0 (a :Int64, b :Int64) -> (sum :Int64);
  echo @1 (data :Data) -> (data :Data);
}
