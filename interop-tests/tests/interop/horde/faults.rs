//! Members that are killed, frozen or cut off while names and children come by the hundreds: what is there in the end.
//!
//! Each treatment of each member in turn, in the middle of 200 registrations and, where TIEBEAM_LONG is set, 50 starts of
//! children a second. In the
//! end all members have the same registry and know the same children. A Horde of BEAMs alone goes through the same where
//! TIEBEAM_LONG asks for it; its figures are printed beside.

use std::time::Duration;

use interop_tests::Release::{Otp27, Otp29};
use interop_tests::{Release, is_long_run, on_every_release};

use super::mesh::{Figures, Kind, Member, Mesh, Setup};

// Each is a scenario of its own, beside that of BEAMs alone.
on_every_release!(
    beams_are_killed,
    one_rust_and_two_beams_are_killed,
    two_rust_and_a_beam_are_killed,
    beams_are_frozen,
    one_rust_and_two_beams_are_frozen,
    two_rust_and_a_beam_are_frozen,
    beams_are_half_a_minute_apart,
    one_rust_and_two_beams_are_half_a_minute_apart,
    two_rust_and_a_beam_are_half_a_minute_apart,
    beams_are_two_minutes_apart,
    one_rust_and_two_beams_are_two_minutes_apart,
    two_rust_and_a_beam_are_two_minutes_apart,
);

/// What is done to a member.
#[derive(Clone, Copy, Debug)]
enum Treatment {
    /// Killed, and started again with its name.
    Kill,
    /// Stopped for longer than the tick time, and let go on.
    Freeze(u64),
    /// Cut off from all others for so many seconds.
    Cut(u64),
}

use Treatment::{Cut, Freeze, Kill};

const MIXED: [Kind; 3] = [Kind::Rust, Kind::Beam(Otp27), Kind::Beam(Otp29)];

#[test]
fn a_killed_member_comes_back() {
    suffer("a_killed_member_comes_back", &MIXED, Kill, &[0, 1], SHORT);
}

#[test]
fn a_frozen_member_goes_on() {
    suffer("a_frozen_member_goes_on", &MIXED, Freeze(12), &[0], SHORT);
}

#[test]
fn a_member_that_was_cut_off_is_one_again() {
    suffer("a_member_that_was_cut_off_is_one_again", &MIXED, Cut(12), &[0], SHORT);
}

#[test]
fn of_two_rust_members_one_is_cut_off() {
    suffer("of_two_rust_members_one_is_cut_off", &[Kind::Rust, Kind::Rust, Kind::Beam(Otp27)], Cut(12), &[0], SHORT);
}

/// How much there is to do: registrations and starts of children a second, and the tick time.
#[derive(Clone, Copy)]
struct Load(u64, u64, &'static str);

/// BEAM members start children of members that they take for dead again and again while they are busy; on a machine that
/// does other things too, that grows beyond bounds. Few children, and a tick time that a busy machine keeps.
const SHORT: Load = Load(200, 5, "8");

/// With 4 s, links of a machine that is busy with this are lost again and again by themselves.
const FULL: Load = Load(200, 50, "8");

fn beams_are_killed(release: Release) {
    each_in_turn("beams_are_killed", release, &[Kind::Beam(release); 3], Kill);
}

fn one_rust_and_two_beams_are_killed(release: Release) {
    each_in_turn(
        "one_rust_and_two_beams_are_killed",
        release,
        &[Kind::Rust, Kind::Beam(release), Kind::Beam(release)],
        Kill,
    );
}

fn two_rust_and_a_beam_are_killed(release: Release) {
    each_in_turn("two_rust_and_a_beam_are_killed", release, &[Kind::Rust, Kind::Rust, Kind::Beam(release)], Kill);
}

fn beams_are_frozen(release: Release) {
    each_in_turn("beams_are_frozen", release, &[Kind::Beam(release); 3], Freeze(12));
}

fn one_rust_and_two_beams_are_frozen(release: Release) {
    each_in_turn(
        "one_rust_and_two_beams_are_frozen",
        release,
        &[Kind::Rust, Kind::Beam(release), Kind::Beam(release)],
        Freeze(12),
    );
}

fn two_rust_and_a_beam_are_frozen(release: Release) {
    each_in_turn("two_rust_and_a_beam_are_frozen", release, &[Kind::Rust, Kind::Rust, Kind::Beam(release)], Freeze(12));
}

fn beams_are_half_a_minute_apart(release: Release) {
    each_in_turn("beams_are_half_a_minute_apart", release, &[Kind::Beam(release); 3], Cut(30));
}

fn one_rust_and_two_beams_are_half_a_minute_apart(release: Release) {
    each_in_turn(
        "one_rust_and_two_beams_are_half_a_minute_apart",
        release,
        &[Kind::Rust, Kind::Beam(release), Kind::Beam(release)],
        Cut(30),
    );
}

fn two_rust_and_a_beam_are_half_a_minute_apart(release: Release) {
    each_in_turn(
        "two_rust_and_a_beam_are_half_a_minute_apart",
        release,
        &[Kind::Rust, Kind::Rust, Kind::Beam(release)],
        Cut(30),
    );
}

fn beams_are_two_minutes_apart(release: Release) {
    each_in_turn("beams_are_two_minutes_apart", release, &[Kind::Beam(release); 3], Cut(120));
}

fn one_rust_and_two_beams_are_two_minutes_apart(release: Release) {
    each_in_turn(
        "one_rust_and_two_beams_are_two_minutes_apart",
        release,
        &[Kind::Rust, Kind::Beam(release), Kind::Beam(release)],
        Cut(120),
    );
}

fn two_rust_and_a_beam_are_two_minutes_apart(release: Release) {
    each_in_turn(
        "two_rust_and_a_beam_are_two_minutes_apart",
        release,
        &[Kind::Rust, Kind::Rust, Kind::Beam(release)],
        Cut(120),
    );
}

fn each_in_turn(scenario: &str, release: Release, kinds: &[Kind], treatment: Treatment) {
    if is_long_run(&format!("{}::{scenario}, OTP {}", module_path!(), release.number())) {
        suffer(scenario, kinds, treatment, &[0, 1, 2], FULL);
    }
}

/// Does this to these members, one after the other, under load.
fn suffer(scenario: &str, kinds: &[Kind], treatment: Treatment, victims: &[usize], load: Load) {
    let Load(names, children, ticktime) = load;
    let scenario = format!("{}::{scenario}", module_path!());
    let Some(mut mesh) = Mesh::new(&scenario, &Setup { kinds, ticktime, ..Setup::default() }) else { return };
    let list = mesh.list();
    assert_eq!(mesh.driver.eval(&format!("horde_load:start({list}, {names}, {children}).")), "ok");
    let pause = |seconds: u64| std::thread::sleep(Duration::from_secs(seconds));
    pause(2);
    for victim in victims {
        match treatment {
            Kill => {
                mesh.members[*victim].signal("KILL");
                pause(2);
                mesh.restart(*victim);
            }
            Freeze(seconds) => {
                mesh.members[*victim].signal("STOP");
                pause(seconds);
                mesh.members[*victim].signal("CONT");
            }
            Cut(seconds) => {
                mesh.isolate(*victim);
                pause(seconds);
                mesh.network.heal();
            }
        }
        pause(3);
    }
    let acknowledged = mesh.driver.eval("horde_load:stop().");
    if !kinds.contains(&Kind::Rust) && !mesh.becomes_equal() {
        println!(
            "FIGURES {treatment:?} of {victims:?} among BEAMs alone: acknowledged {acknowledged}, and no end of it"
        );
        return;
    }
    mesh.until_equal();
    // What conflicts there were are told a little later.
    pause(3);
    mesh.until_equal();
    let figures = Figures::of(&mut mesh);
    let who: Vec<_> = kinds
        .iter()
        .map(|kind| match kind {
            Kind::Beam(release) => release.number(),
            Kind::Rust => "rust",
        })
        .collect();
    println!("FIGURES {treatment:?} of {victims:?} among {who:?}: acknowledged {acknowledged}, {}", figures.0);
    if mesh.members.iter().any(Member::is_rust) {
        mesh.assert_quiet_but_for_the_loss();
        assert_eq!(figures.get("lost_rust"), 0, "names of living Rust processes: {figures:?}");
        assert_eq!(figures.get("dead"), 0, "names of dead processes: {figures:?}");
    }
}
