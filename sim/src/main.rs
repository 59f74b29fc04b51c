//! The `silo-sim` binary: see [`silo_sim::cli`].

fn main() -> std::process::ExitCode {
    silo_sim::cli::main()
}
