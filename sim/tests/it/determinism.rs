//! A seed is a history: in another process, beside other seeds, byte for byte.

use std::process::Command;

fn lines(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_netdb-sim")).args(arguments).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    text
}

#[test]
fn equal_seeds_give_equal_traces_in_two_processes() {
    for seeds in ["0..4", "4..8"] {
        let one = lines(&["--seeds", seeds, "--trace"]);
        assert!(one.lines().count() > 400, "{one}");
        assert_eq!(one, lines(&["--seeds", seeds, "--trace", "--jobs", "2"]));
    }
    assert_ne!(lines(&["--seed", "8"]), lines(&["--seed", "10"]));
}
