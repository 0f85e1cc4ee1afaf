//! Members that are asked to end while names and children come by the hundreds: what they had goes on, or is free.

use interop_tests::Release::{Otp25, Otp27, Otp29};

use super::mesh::{Figures, Kind, Mesh, Setup};

#[test]
fn a_rust_member_of_25_and_27_ends() {
    leaves("a_rust_member_of_25_and_27_ends", &[Kind::Rust, Kind::Beam(Otp25), Kind::Beam(Otp27)]);
}

#[test]
fn a_rust_member_of_27_and_29_ends() {
    leaves("a_rust_member_of_27_and_29_ends", &[Kind::Rust, Kind::Beam(Otp27), Kind::Beam(Otp29)]);
}

#[test]
fn of_two_rust_members_one_ends() {
    leaves("of_two_rust_members_one_ends", &[Kind::Rust, Kind::Rust, Kind::Beam(Otp27)]);
}

#[test]
fn a_member_of_29_ends_beside_rust() {
    leaves("a_member_of_29_ends_beside_rust", &[Kind::Beam(Otp29), Kind::Rust, Kind::Beam(Otp27)]);
}

#[test]
fn a_member_of_25_ends_beside_two_rust() {
    leaves("a_member_of_25_ends_beside_two_rust", &[Kind::Beam(Otp25), Kind::Rust, Kind::Rust]);
}

/// The first member ends politely: a Rust one in the middle of the load; a BEAM after it, since it does not wait until
/// others know of the children that it has started last.
fn leaves(scenario: &str, kinds: &[Kind]) {
    let scenario = format!("{}::{scenario}", module_path!());
    let Some(mut mesh) = Mesh::new(&scenario, &Setup { kinds, ..Setup::default() }) else { return };
    let list = mesh.list();
    assert_eq!(mesh.driver.eval(&format!("horde_load:start({list}, 100, 20).")), "ok");
    std::thread::sleep(std::time::Duration::from_secs(2));
    let is_rust = mesh.members[0].is_rust();
    if is_rust {
        mesh.end(0);
        mesh.driver.eval("horde_load:stop().");
    } else {
        mesh.driver.eval("horde_load:stop().");
        mesh.until_equal();
        mesh.end(0);
    }
    mesh.until_equal();
    // Who takes over does so one after the other. The names of a BEAM's processes stay, and are not found.
    let last = std::time::Instant::now() + std::time::Duration::from_secs(60);
    let mut seen = Figures::of(&mut mesh);
    while seen.get("missing") > 0 || is_rust && seen.get("dead") > 0 {
        assert!(std::time::Instant::now() < last, "something is lost: {seen:?}");
        std::thread::sleep(std::time::Duration::from_millis(200));
        seen = Figures::of(&mut mesh);
    }
    println!("FIGURES {scenario}: {seen:?}");
    assert!(seen.get("children") > 0 && seen.get("names") > 0, "{seen:?}");
    assert_eq!((seen.get("lost_rust"), seen.get("lost_beam")), (0, 0), "names of living processes: {seen:?}");
    mesh.assert_quiet_but_for_the_loss();
}
