#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Checks exit statuses, streams and files of every tool, as a shell meets them.
#
#     contract.sh TOOLS NETWORK.h5
set -uo pipefail
export PATH=$(realpath "$1"):$PATH
network=$(realpath "$2")
data=$(realpath "$(dirname "$2")/../data/fashion_test.h5")
passed=0 failed=0 skipped=0
work=$(mktemp -d)
trap 'mountpoint -q "$work/full" && umount "$work/full"; rm -rf "$work"' EXIT
cd "$work" || exit 1

ok() { # ok WHAT COMMAND…: the command must succeed
  local what=$1
  shift
  if "$@"; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAILED $what"; fi
}

# expect STATUS COMMAND: the shell command must end with this status; its streams are left in ./out and ./err.
expect() {
  bash -c "$2" >out 2>err
  local status=$?
  ok "$2: exit $status, not $1: $(tail -n 1 err)" [ "$status" = "$1" ]
}

quiet() { ok "$1: says $(head -c 200 err)" [ ! -s err ]; }                  # after expect: nothing on standard error
silent() { ok "$1: writes $(head -c 40 out | tr -d '\0')" [ ! -s out ]; }   # after expect: nothing on standard output
clean() { ok "$1: leaves $(ls -A "$2")" [ -z "$(ls -A "$2")" ]; }           # nothing in a folder

nc-ternarize -q "$network" net.ncz && nc-restore -q net.ncz net.h5 || { echo "FAILED the first run"; exit 1; }

# Each tool with an input it takes, writing to its standard output.
declare -A run=([nc-ternarize]="nc-ternarize '$network'" ["nc-prune --keep .1"]="nc-prune --keep .1 '$network'"
  [nc-quantize]="nc-quantize '$network'" ["nc-prune --by node --keep .5"]="nc-prune --by node --keep .5 '$network'"
  [nc-restore]="nc-restore net.ncz" ["nc-restore --shape reduced"]="nc-restore --shape reduced net.ncz" [nc-info]="nc-info net.ncz"
  ["nc-info --stats"]="nc-info --stats net.ncz" ["nc-run --data '$data'"]="nc-run --data '$data' net.ncz"
  ["nc-verify --points 64 '$network'"]="nc-verify --points 64 '$network' net.ncz")
for tool in "${!run[@]}"; do
  expect 0 "${run[$tool]}"
  expect 74 "${run[$tool]} >/dev/full"
  expect 0 "${run[$tool]} -q"; quiet "$tool -q"
  silencer=-q
  [[ $tool != nc-verify* ]] || silencer=                                # -q leaves it the exit status alone
  expect 141 "set -o pipefail; ${run[$tool]} $silencer | true | sleep .1"; quiet "$tool | true"
  expect 64 "$tool --no-such-option"; silent "$tool --no-such-option"
  expect 66 "$tool missing.h5"; silent "$tool missing.h5"
  expect 66 "$tool ."
  expect 65 "$tool /etc/hostname"; silent "$tool with no network"
  expect 65 "$tool /dev/null"
  expect 65 "head -c 40000 net.ncz | $tool"; silent "$tool with a cut file"
  expect 65 "(cat net.ncz; echo) | $tool"; silent "$tool with a byte too many"
  expect 65 "cat net.ncz net.ncz | $tool"
  expect 0 "$tool --version"; quiet "$tool --version"
  expect 0 "$tool --help"; quiet "$tool --help"
  expect 74 "${run[$tool]} >&-"
  expect 74 "$tool - <&-"; silent "$tool <&-"
  expect 64 "script -qec '$tool' /dev/null </dev/null"
done
for tool in nc-ternarize 'nc-prune --keep .1' nc-quantize nc-restore; do
  ok "$tool: binary to a terminal" [ "$(script -qec "${run[$tool]}; echo status \$?" /dev/null | grep -ao 'status [0-9]*')" = "status 64" ]
done

# Standard output carries data only.
expect 0 "nc-ternarize '$network'"; ok "nc-ternarize on standard output" cmp -s out net.ncz
expect 0 "nc-restore -v net.ncz"; ok "nc-restore on standard output" cmp -s out net.h5
expect 0 "nc-info --json net.ncz"; ok "nc-info --json" python3 -m json.tool out /dev/null
expect 0 "nc-ternarize '$network' new.ncz"; silent "nc-ternarize IN OUT"; ok "summary" [ "$(wc -l <err)" = 1 ]
expect 0 "nc-ternarize -n '$network' dry.ncz"; ok "--dry-run" [ ! -e dry.ncz ]
expect 0 "nc-info --test net.ncz"
printf 'X' | dd of=new.ncz bs=1 seek=2000 conv=notrunc status=none
expect 65 "nc-info --test new.ncz"

# Pruning: one aim, within its range; a table instead of a file; a size that is kept to.
for aim in "" "--keep .1 --max-error .5" "--keep 1.5" "--keep x" "--max-error -1" "--max-error 2" "--target-size x" "--keep .1 --by weight" \
  "--by node --keep .5 --scope network" "--by singular-value --keep .5 --values float16" "--scope network --max-error .1"; do
  expect 64 "nc-prune $aim '$network' o"; ok "no output after 64" [ ! -e o ]
done
expect 0 "nc-prune -n --keep .1 '$network' o"; ok "--dry-run" [ ! -e o ]; ok "a table" grep -q kept out
expect 0 "nc-prune --target-size 100k '$network' fits.ncz"; ok "--target-size 100k" [ "$(stat -c %s fits.ncz)" -le 100000 ]
ok "--target-size 100k is used" [ "$(stat -c %s fits.ncz)" -ge 99000 ]
expect 75 "nc-prune --target-size 100 '$network' o"; ok "no output after an error" [ ! -e o ]

# The same of the other ways to few values.
for aim in "--max-error 2" "--max-error .1 --bits 4" "--step 0" "--bits 1" "--bits 9" "--levels 1" "--levels 257" "--target-size x" "--bits 4 --scale-per 0" "--levels 4 --scale-per row"; do
  expect 64 "nc-quantize $aim '$network' o"; ok "no output after 64" [ ! -e o ]
done
expect 0 "nc-quantize -n --max-error .3 '$network' o"; ok "--dry-run" [ ! -e o ]; ok "a table" grep -q grid out
expect 0 "nc-quantize --target-size 60k '$network' small.ncz"; ok "--target-size 60k" [ "$(stat -c %s small.ncz)" -le 60000 ]
ok "--target-size 60k is used" [ "$(stat -c %s small.ncz)" -ge 58000 ]
expect 75 "nc-quantize --target-size 100 '$network' o"; ok "no output after an error" [ ! -e o ]
for options in "--container none" --mapped "--biases float16" "--bits 4" "--levels 16"; do
  expect 0 "nc-quantize -q $options '$network' | tee other.ncz | nc-restore -q | nc-info"; expect 0 "nc-info --test other.ncz"
done

expect 0 "nc-info --stats --json net.ncz"; ok "nc-info --stats --json" python3 -m json.tool out /dev/null
expect 0 "nc-info --stats --plot plot.svg net.ncz"; ok "--plot" python3 -c 'import xml.dom.minidom as x; x.parse("plot.svg")'
expect 73 "nc-info --stats --plot plot.svg net.ncz"
expect 0 "nc-info --plot sizes.svg net.ncz"; ok "--plot of sizes" python3 -c 'import xml.dom.minidom as x; x.parse("sizes.svg")'
for arguments in "" "--stats"; do
  expect 0 "nc-info $arguments --plot - net.ncz"; ok "--plot -" python3 -c 'import xml.dom.minidom as x; x.parse("out")'
done
expect 64 "nc-info --json --plot - net.ncz"
expect 64 "nc-info --test --plot other.svg net.ncz"

# Running and verifying.
expect 0 "nc-run --json --data '$data' '$network'"; ok "nc-run --json" python3 -m json.tool out /dev/null
expect 0 "nc-run -q --data '$data' -o outputs.h5 net.ncz"; quiet "nc-run -o"; silent "nc-run -q -o"
expect 73 "nc-run --data '$data' -o outputs.h5 net.ncz"
for arguments in "net.ncz" "--data - net.ncz" "--x images net.ncz" "--data '$data' --precision half net.ncz"; do expect 64 "nc-run $arguments"; done
expect 65 "nc-run --data '$network' net.ncz"
expect 66 "nc-run --data missing.h5 net.ncz"
quick="--points 64 --samples 500"
expect 0 "nc-verify --json $quick '$network' net.ncz"; ok "nc-verify --json" python3 -m json.tool out /dev/null
expect 0 "nc-verify -q $quick '$network' net.ncz"; quiet "nc-verify -q"; silent "nc-verify -q"
expect 1 "nc-verify $quick '$network' net.h5"; ok "nothing recorded" grep -q '^FAILED: B has no record of coming from A' out
expect 0 "nc-verify -q $quick --no-verdict '$network' net.h5"; quiet "nc-verify --no-verdict"; silent "nc-verify --no-verdict"
for arguments in "--no-verdict --max-weight 1" "--measure outputs" "--max-size x" "--max-bits nan"; do expect 64 "nc-verify $quick $arguments '$network' net.ncz"; done
expect 0 "nc-verify -q $quick --max-size 100k --max-bits 2 '$network' net.ncz"; expect 1 "nc-verify -q $quick --max-size 10k '$network' net.ncz"
expect 1 "nc-verify $quick --max-weight .01 '$network' net.ncz"; ok "says why" grep -q ', limit 0.01$' err; ok "checks first" awk 'NR == 1 && !/^FAILED: 1 of 1 limits exceeded$/ || NR == 3 && !/FAILED$/ {exit 1}' out
expect 1 "nc-prune -q --keep .1 '$network' | nc-verify -q $quick --max-output .01 '$network' -"; silent "status 1"; ok "-q says why" grep -q 'output error .*, limit 0.01$' err
expect 0 "nc-verify -q $quick --report page.html '$network' net.ncz"; ok "a page" grep -q '</html>' page.html
expect 73 "nc-verify $quick --report page.html '$network' net.ncz"; silent "an existing page"
expect 74 "nc-verify $quick --report /dev/full '$network' net.ncz"
for number in inf nan 1e999 0x10 -inf; do
  for command in "nc-prune --max-error" "nc-prune --keep" "nc-prune --target-size" "nc-quantize --max-error" "nc-quantize --step" "nc-quantize --bits" "nc-ternarize --sparsity" "nc-ternarize --memory" \
    "nc-ternarize --level" "nc-run --data '$data' --input-scale" "nc-verify --max-weight" "nc-verify --max-accuracy-loss" "nc-verify --seed"; do
    expect 64 "$command $number '$network' o"; ok "no output after 64" [ ! -e o ]
  done
done
for arguments in "" "- -" "--max-output x a b" "--max-output -1 a b" "--measure size a b" "--points 0 a b" "--law cauchy a b"; do expect 64 "nc-verify $arguments"; done
expect 69 "nc-verify --max-output 1 --measure weights '$network' net.ncz"
expect 75 "nc-verify --points 30000 --memory 64MiB '$network' net.ncz"; ok "names the option" grep -q -e --points err

# Existing output, and the same file in and out.
expect 73 "nc-ternarize '$network' net.ncz"; silent "existing output"
expect 73 "nc-restore net.ncz net.h5"
expect 73 "nc-ternarize '$network' no/such/folder.ncz"
expect 0 "nc-ternarize -f '$network' net.ncz"
nc-ternarize -q net.ncz twice.ncz; cp net.ncz same
expect 0 "nc-ternarize -f same same"; ok "the same file in and out" cmp -s same twice.ncz
for command in "nc-ternarize -f '$network' net.h5" "nc-prune --keep .5 -f net.ncz net.h5" "nc-quantize -f net.ncz net.h5" "nc-restore --force same same" \
  "nc-run -f --data '$data' -o same net.h5" "nc-info --stats -f --plot same net.h5" "nc-verify -f --report net.h5 '$network' same"; do
  expect 73 "$command"; silent "$command"
done
ok "a file of another kind is never replaced" cmp -s same twice.ncz
: >empty; expect 0 "nc-ternarize -f '$network' empty"; ok "an empty file is" cmp -s empty net.ncz
ln -s empty link; expect 0 "nc-ternarize -f '$network' link"; ok "a link is written through" [ -L link ]
ln -s new.ncz dangling; expect 73 "nc-ternarize '$network' dangling"
expect 0 "nc-ternarize -f '$network' dangling"; ok "also one that leads nowhere" cmp -s new.ncz net.ncz

# Permissions: those of the input for a new file, under the umask; those of a file that is replaced.
cp "$network" private.h5; chmod 600 private.h5; umask 027
for mode in 600 640; do
  chmod $mode private.h5
  for command in "nc-ternarize private.h5 p" "nc-prune --keep .5 private.h5 p" "nc-quantize private.h5 p" "nc-run --data '$data' -o p private.h5" \
    "nc-info --stats --plot p private.h5" "nc-verify $quick --report p private.h5 net.ncz"; do
    rm -f p; expect 0 "$command"; ok "$command: mode $(stat -c %a p)" [ "$(stat -c %a p)" = $mode ]
  done
done
rm p; expect 0 "nc-ternarize - p <private.h5"; ok "redirected" [ "$(stat -c %a p)" = 640 ]
rm p; expect 0 "cat private.h5 | nc-ternarize - p"; ok "from a pipe" [ "$(stat -c %a p)" = 640 ]
chmod 604 p; expect 0 "nc-ternarize -f private.h5 p"; ok "of the replaced file" [ "$(stat -c %a p)" = 604 ]
umask 022

# Starved: the cause in one line.
starved() { expect "$1" "$2"; ok "$2: one line: $(cat err)" [ "$(wc -l <err)" = 1 ]; ok "$2: $(cat err)" grep -q "$3" err; ok "$2: no file" [ ! -e o ]; }
starved 75 "ulimit -v 150000; timeout 20 nc-run --data '$data' net.ncz" "address space"
starved 75 "ulimit -n 8; nc-ternarize '$network' o" "too many open files"
starved 74 "ulimit -f 8; nc-ternarize '$network' o" "File too large"
starved 74 "ulimit -f 8; nc-restore net.ncz o" "File too large"
if unshare -rm mount -t tmpfs none /proc 2>/dev/null; then
  starved 70 "unshare -rm sh -c 'mount -t tmpfs none /proc; nc-restore --help <net.ncz'" /proc
else
  skipped=$((skipped + 4))
fi

# Choosing tensors.
expect 64 "nc-ternarize --only 'no such tensor' '$network' o"; ok "no output after 64" [ ! -e o ]
expect 64 "nc-ternarize --except 'no such tensor' '$network' o"
expect 64 "nc-ternarize --only '*/bias' '$network' o"; ok "no output after an error" [ ! -e o ]
expect 64 "nc-ternarize --sparsity 2 '$network' o"
expect 64 "nc-ternarize --scale-per 0 '$network' o"
expect 64 "nc-ternarize '$network' o surplus"
expect 64 "nc-ternarize -T -1 '$network' o"
expect 75 "nc-ternarize --memory 1K '$network' o"; ok "names the option: $(cat err)" grep -q -e --memory err

# Names.
mkdir names
for name in 'a space' $'new\nline' -dash 'ünï' "quote'"; do
  cp "$network" "names/$name"
  ok "name '$name'" bash -c 'cd names && nc-ternarize -q -- "$1" "$1.ncz" && nc-restore -q -- "$1.ncz" "$1.h5" && cmp -s -- "$1.h5" ../net.h5' - "$name"
done
nc-info $'names/missing\nline' 2>err; ok "one line a problem, whatever the name" [ "$(wc -l <err)" = 1 ]
for argument in $'x\u202ey' $'--x\u202ey' $'--only\nx\u202ey' $'--memory\nx\u202e\x1b[2Jy'; do
  mapfile -t words <<<"$argument"
  nc-info --stats "${words[@]}" "$network" >out 2>err
  ok "arguments do not drive a terminal: $(cat -v err)" bash -c '[ -s err ] && ! grep -q $'"'\\u202e\\|\\x1b'"' err'
done

# A killed tool leaves no half file under the final name, a stopped one nothing at all.
python3 - "$network" big.h5 <<'PYTHON' || exit 1
import sys, h5py, numpy as np
with h5py.File(sys.argv[2], "w") as file:
    for name in "abcd":
        file[f"{name}/kernel"] = np.random.default_rng(1).standard_normal((2048, 2048), np.float32)
PYTHON
nc-ternarize -q big.h5 big.ncz
mkdir killed
for signal in KILL TERM INT; do
  for delay in .005 .01 .02 .03 .04 .05 .06 .08 .10 .13 .16 .2; do
    for command in "nc-ternarize big.h5" "nc-prune --keep .1 big.h5" "nc-quantize big.h5" "nc-restore big.ncz"; do
      rm -rf killed/* killed/.[!.]*
      timeout --foreground --preserve-status -s "$signal" "$delay" $command -q killed/out </dev/null 2>err
      status=$?
      ok "$command after $signal: exit $status" [ $status = 0 -o $status = $((128 + $(kill -l $signal))) ]
      [ ! -e killed/out ] || case $command in
        nc-ternarize*) ok "half file after $signal, $delay s" cmp -s killed/out big.ncz ;;
        nc-prune* | nc-quantize*) ok "half file after $signal, $delay s" nc-info --test -q killed/out ;;
        *) ok "half file after $signal, $delay s" [ "$(stat -c %s killed/out)" = "$(stat -c %s big.h5)" ] ;;
      esac
      rm -f killed/out
      [ $signal = KILL ] || { clean "$command after $signal" killed; quiet "$command after $signal"; }
    done
  done
done

# A full disk.
mkdir full
if mount -t tmpfs -o size=64k tmpfs full 2>/dev/null; then
  expect 74 "nc-restore net.ncz full/out"; clean "full disk" full
  expect 74 "nc-ternarize big.h5 full/out"; clean "full disk" full
else
  skipped=$((skipped + 4))
fi

echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
