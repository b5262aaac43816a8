# Makes .venv from the pinned requirements. Sourced by the commands beside it:
#
#   . "$root/bin/setup.sh" && lockstep_setup demo|dev|bench
#
# `root` is the checkout. A POSIX shell and Python 3.11-3.13 are all it needs; uv is used when it is on PATH.
# Exit status 3: something is missing on this machine, and the message has the line to type.

unset PYTHONHOME PYTHONPATH
export PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_REQUIRE_VIRTUALENV=0
export UV_PYTHON_DOWNLOADS=never UV_NO_PROGRESS=1
export UV_COMPILE_BYTECODE=1  # as pip does: else every process may compile all of Django and LangGraph again

venv="$root/.venv"
python="$venv/bin/python"
setup_lock="$root/.lockstep/setup.lock"

say() { printf '%s\n' "$*" >&2; }

# One file lists everything that a level needs; a level includes those before it.
requirements_of() {
    case $1 in
        demo) echo "demo.txt model.txt" ;;
        dev) echo "dev.txt model.txt" ;;
        bench) echo "bench.txt model.txt" ;;
        *) say "bin/setup.sh: unknown level '$1'"; return 2 ;;
    esac
}

# What has to be unchanged for the environment to be used as it is: the pinned set, the project's own metadata,
# the Python it was made with and the place (a virtual environment cannot be moved).
stamp_of() {
    for file in $(requirements_of "$1"); do
        cksum <"$root/requirements/$file" || return 1
    done
    sed -n '/^\[tool\.ruff/q;p' "$root/pyproject.toml" | cksum  # the rest is how tools are set
    "$python" -c 'import sys; print(sys.version)'
    echo "$venv"
}

# A dev environment serves the demo too.
is_ready() {
    [ -x "$python" ] || return 1
    for level in $(case $1 in demo) echo "demo dev" ;; *) echo "$1" ;; esac); do
        if [ -f "$venv/.ready-$level" ] &&
            [ "$(stamp_of "$level" 2>/dev/null)" = "$(cat "$venv/.ready-$level")" ]; then
            return 0
        fi
    done
    return 1
}

# --- which Python ---------------------------------------------------------------------------------------------

# A name on PATH may be a shim that fails, and the real one may come later on PATH: run each of them.
runs_as_wanted() {
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1
}

pythons_on_path() {
    if [ -n "${PYTHON:-}" ]; then
        runs_as_wanted "$PYTHON" && echo "$PYTHON"
        return
    fi
    for name in python3.13 python3.12 python3.11 python3 python; do
        (
            IFS=:
            set -f
            for folder in $PATH; do
                candidate="${folder:-.}/$name"
                if [ -f "$candidate" ] && [ -x "$candidate" ] && runs_as_wanted "$candidate"; then
                    printf '%s\n' "$candidate"
                fi
            done
        )
    done
}

as_root() { if [ "$(id -u)" = 0 ]; then echo "$*"; else echo "sudo $*"; fi; }

no_python() {
    say "Python 3.11, 3.12 or 3.13 is needed, and none on PATH runs. Type this, then try again:"
    if command -v apt-get >/dev/null 2>&1; then
        say "    $(as_root apt-get install -y python3 python3-venv)"
    elif command -v dnf >/dev/null 2>&1; then
        say "    $(as_root dnf install -y python3.12)"
    elif command -v brew >/dev/null 2>&1; then
        say "    brew install python@3.13"
    else
        say "    PYTHON=/path/to/python3.12 $0"
    fi
    return 3
}

no_venv() {
    version=$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    say "$1 runs but cannot make a virtual environment (no ensurepip, no virtualenv). Type this, then try again:"
    if command -v apt-get >/dev/null 2>&1; then
        say "    $(as_root apt-get install -y "python$version-venv")"
    else
        say "    $1 -m pip install --user virtualenv"
    fi
    return 3
}

# --- making it ------------------------------------------------------------------------------------------------

have_uv() { uv --version >/dev/null 2>&1; }

make_with_uv() {
    have_uv || return 1
    # uv also finds Pythons that are not on PATH
    uv venv --quiet --python "${1:->=3.11,<3.14}" "$venv"
}

make_with_python() {
    if "$1" -c 'import ensurepip, venv' >/dev/null 2>&1 && "$1" -m venv "$venv"; then
        return 0
    elif "$1" -m virtualenv --version >/dev/null 2>&1; then
        "$1" -m virtualenv --quiet "$venv"
    elif virtualenv --version >/dev/null 2>&1; then
        virtualenv --quiet --python "$1" "$venv"
    else
        return 1
    fi
}

# An environment that was copied or moved with its checkout has programs that call the old one.
venv_usable() {
    [ -x "$python" ] && runs_as_wanted "$python" || return 1
    for stamp in "$venv"/.ready-*; do
        [ ! -f "$stamp" ] || [ "$(tail -n 1 "$stamp")" = "$venv" ] || return 1
    done
}

# $1: the Pythons that run, newest first, one a line.
make_venv() {
    newest=$(printf '%s\n' "$1" | head -n 1)
    make_with_uv "$newest" && return 0
    [ -n "$1" ] || { no_python; return; }
    while IFS= read -r candidate; do
        rm -rf "$venv"
        make_with_python "$candidate" </dev/null && return 0
    done <<LIST
$1
LIST
    no_venv "$newest"
}

install_with_uv() {
    have_uv || return 1
    # shellcheck disable=SC2086  # a list of options
    uv pip install --quiet --python "$python" --no-deps --require-hashes $requirement_options &&
        uv pip install --quiet --python "$python" --no-deps --no-build-isolation -e .
}

install_with_pip() {
    "$python" -m pip --version >/dev/null 2>&1 || "$python" -m ensurepip >/dev/null || return 1
    # shellcheck disable=SC2086
    "$python" -m pip install --quiet --no-deps --require-hashes $requirement_options &&
        "$python" -m pip install --quiet --no-deps --no-build-isolation -e .
}

install() {
    requirement_options=
    for file in $(requirements_of "$1"); do
        requirement_options="$requirement_options -r requirements/$file"
    done
    if have_uv; then
        say "Installing requirements/$(requirements_of "$1" | cut -d' ' -f1) with uv ..."
        install_with_uv && return 0
        # uv does not read pip's configuration: behind a private mirror only pip may know the way
        say "uv could not install them; trying pip ..."
    else
        say "Installing requirements/$(requirements_of "$1" | cut -d' ' -f1) with pip (a minute or two) ..."
    fi
    install_with_pip
}

setup_locked() {
    is_ready "$1" && return 0
    rm -f "$venv/.ready-$1"
    if ! venv_usable; then
        rm -rf "$venv"
        make_venv "$(pythons_on_path)" || return
    fi
    (cd "$root" && install "$1") || { say "Installing the requirements failed (see above)."; return 1; }
    stamp_of "$1" >"$venv/.ready-$1.part" && mv "$venv/.ready-$1.part" "$venv/.ready-$1"
}

# --- one at a time --------------------------------------------------------------------------------------------

# mkdir is atomic. The folder of a process that is gone is moved aside first, so that of two that see it as
# stale only one removes it.
take_setup_lock() {
    mkdir -p "$root/.lockstep"
    waited=0
    until mkdir "$setup_lock" 2>/dev/null; do
        holder=$(cat "$setup_lock/pid" 2>/dev/null)
        if [ -n "$holder" ]; then
            if kill -0 "$holder" 2>/dev/null || ps -p "$holder" >/dev/null 2>&1; then stale=no; else stale=yes; fi
        elif [ "$waited" -ge 10 ]; then
            stale=yes
        else
            stale=no
        fi
        if [ "$stale" = yes ]; then
            mv "$setup_lock" "$setup_lock.$$" 2>/dev/null && rm -rf "$setup_lock.$$"
            continue
        fi
        [ "$waited" -eq 1 ] && say "Waiting for another setup of this checkout (process ${holder:-unknown}) ..."
        waited=$((waited + 1))
        sleep 1
    done
    echo "$$" >"$setup_lock/pid"
}

drop_setup_lock() { rm -rf "$setup_lock"; }

lockstep_setup() {
    is_ready "$1" && return 0
    take_setup_lock
    trap 'drop_setup_lock; exit 130' INT
    trap 'drop_setup_lock; exit 143' TERM HUP
    if setup_locked "$1"; then setup_status=0; else setup_status=$?; fi
    drop_setup_lock
    trap - INT TERM HUP
    return "$setup_status"
}
