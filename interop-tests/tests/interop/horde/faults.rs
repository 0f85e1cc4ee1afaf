//! Members that are killed, frozen or cut off while names and children come by the hundreds: what is there in the end.
//!
//! Each treatment of each member in turn, in the middle of 200 registrations and, where TIEBEAM_LONG is set, 50 starts of
//! children a second. In the
//! end all members have the same registry and know the same children. A Horde of BEAMs alone goes through the same where
//! TIEBEAM_LONG asks for it; its figures are printed beside.

use std::time::Duration;

use interop_tests::Release::{Otp27, Otp29};
use interop_tests::{Release, is_long_run, on_every_release};

use super::mesh::{Kind, Member, Mesh, Setup};

on_every_release!(every_treatment);

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

const FULL: Load = Load(200, 50, "4");

fn every_treatment(release: Release) {
    let scenario = "every_treatment";
    if !is_long_run(&format!("{}::{scenario}, OTP {}", module_path!(), release.number())) {
        return;
    }
    let beam = Kind::Beam(release);
    for treatment in [Kill, Freeze(12), Cut(30)] {
        suffer(scenario, &[beam; 3], treatment, &[0, 1], FULL);
        suffer(scenario, &[Kind::Rust, beam, beam], treatment, &[0, 1], FULL);
        suffer(scenario, &[Kind::Rust, Kind::Rust, beam], treatment, &[0, 2], FULL);
    }
}

#[test]
fn two_minutes_apart() {
    if !is_long_run(concat!(module_path!(), "::two_minutes_apart")) {
        return;
    }
    let beam = Kind::Beam(Otp27);
    suffer("two_minutes_apart", &[beam; 3], Cut(120), &[0], FULL);
    suffer("two_minutes_apart", &[Kind::Rust, beam, beam], Cut(120), &[0, 1], FULL);
    suffer("two_minutes_apart", &[Kind::Rust, Kind::Rust, beam], Cut(120), &[0, 2], FULL);
}

/// What a run left behind; see `horde_load:report/1`.
#[derive(Debug)]
struct Figures(String);

impl Figures {
    fn get(&self, name: &str) -> u64 {
        let at = self.0.find(&format!("{name} => ")).unwrap_or_else(|| panic!("no {name} in {}", self.0));
        let number = self.0[at + name.len() + 4..].split(|c: char| !c.is_ascii_digit()).next();
        number.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no {name} in {}", self.0))
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
    let figures = Figures(
        mesh.driver.eval(&format!("horde_load:report({list}).")).split_whitespace().collect::<Vec<_>>().join(" "),
    );
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
