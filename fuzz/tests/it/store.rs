//! A whole log whose files were altered: it opens or says why not.

use bolero::check;
use netdb_fuzz::alter::{Plan, alter};
use netdb_fuzz::damage::{Files, Outcome, sound, use_files};
use redex::fuzzing::{Structure, repair_segment};

fn ends_with(files: &Files, ending: &str) -> usize {
    let found = files.iter().rposition(|(path, _)| path.to_string_lossy().ends_with(ending));
    found.unwrap_or_else(|| panic!("a log has a file {ending}"))
}

#[test]
fn a_sound_log_goes_on() {
    for closed in [false, true] {
        assert_eq!(use_files(&sound(closed)), Outcome::GoesOn);
    }
}

/// The newest segment, with the checksums of its frames put right or not.
#[test]
fn newest_segment() {
    let logs = [sound(false), sound(true)];
    check!().with_type::<(bool, Plan)>().with_iterations(1500).for_each(|(closed, plan)| {
        let (_, repair, edits, count) = plan;
        let mut files = logs[usize::from(*closed)].clone();
        let at = ends_with(&files, ".seg");
        alter(&mut files[at].1, edits, *count);
        if *repair {
            repair_segment(&mut files[at].1);
        }
        use_files(&files);
    });
}

/// Any file.
#[test]
fn files() {
    let logs = [sound(false), sound(true)];
    check!().with_type::<(bool, Plan)>().with_iterations(1500).for_each(|(closed, plan)| {
        let (file, repair, edits, count) = plan;
        let mut files = logs[usize::from(*closed)].clone();
        let at = usize::from(*file) % files.len();
        let (path, bytes) = &mut files[at];
        alter(bytes, edits, *count);
        if *repair {
            match path.to_string_lossy() {
                name if name.ends_with(".seg") => repair_segment(bytes),
                name if name.ends_with(".idx") => Structure::Index.repair(bytes),
                name if name.ends_with("superblock") => Structure::Superblock.repair(bytes),
                name if name.ends_with("visible") => Structure::Visible.repair(bytes),
                _ => {}
            }
        }
        use_files(&files);
    });
}
