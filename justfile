# The everyday commands; `just` lists them. Each line also works typed by hand.

# Lists the recipes.
default:
    @just --list

# Does it compile?
check:
    cargo check --workspace --all-targets

# The tests that need cargo only; `just test --all` for the others too.
test *arguments:
    scripts/test {{ arguments }}

# Known bugs, put into a copy one at a time: each must be found.
bug-hunt *arguments:
    scripts/bug-hunt {{ arguments }}

# The Alloy models; `just specs --mutants` breaks them on purpose.
specs *arguments:
    scripts/specs {{ arguments }}

# Format and lints, as the CI asks for them.
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings

fmt:
    cargo fmt --all

# A server, a client and a worker in one process, on data that is thrown away.
demo:
    cargo run --release --bin silo -- demo

# How fast a server is here, three times with fsync and without; `just bench --tenants 1000`.
bench *arguments:
    scripts/bench {{ arguments }}

# The book, opened in a browser.
docs:
    mdbook serve docs --open

# Kill -9 under load; `just kill-test 1000` for more of it.
kill-test *kills:
    scripts/kill-test {{ kills }}

# All that the CI does.
ci:
    .ci/run
