//! What stands for an address, what for a name, and in which order addresses are tried.

use super::*;

fn known(text: &str) -> Addresses {
    Addresses::Known(vec![text.parse().unwrap()])
}

fn host(name: &str, port: u16) -> Addresses {
    Addresses::Host { name: name.to_owned(), port }
}

#[test]
fn addresses_need_nobody_to_look_them_up() {
    let literals: [&dyn ToAddresses; 9] = [
        &"127.0.0.1:80",
        &"127.0.0.1:80".to_owned(),
        &("127.0.0.1", 80),
        &("127.0.0.1".to_owned(), 80),
        &(Ipv4Addr::LOCALHOST, 80),
        &(IpAddr::V4(Ipv4Addr::LOCALHOST), 80),
        &SocketAddr::from((Ipv4Addr::LOCALHOST, 80)),
        &[SocketAddr::from((Ipv4Addr::LOCALHOST, 80))],
        &&&"127.0.0.1:80",
    ];
    for literal in literals {
        assert_eq!(literal.to_addresses().unwrap(), known("127.0.0.1:80"));
    }
    assert_eq!("[::1]:80".to_addresses().unwrap(), known("[::1]:80"));
    assert_eq!(("::1", 80).to_addresses().unwrap(), known("[::1]:80"));
    let many: Vec<SocketAddr> = vec!["[::1]:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap()];
    assert_eq!(many.to_addresses().unwrap(), Addresses::Known(many.clone()));
}

#[test]
fn names_are_told_from_addresses_and_from_neither() {
    assert_eq!("localhost:80".to_addresses().unwrap(), host("localhost", 80));
    assert_eq!(("a.b.example", 8080).to_addresses().unwrap(), host("a.b.example", 8080));
    for text in ["", "localhost", ":80", "localhost:", "localhost:99999", "localhost:http"] {
        let error = text.to_addresses().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{text:?}");
    }
}

#[test]
fn the_families_take_turns() {
    let addresses = |texts: &[&str]| -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    };
    let (v6, v4) = (["[::1]:1", "[::2]:1", "[::3]:1"], ["1.1.1.1:1", "2.2.2.2:1"]);
    let sorted = addresses(&[v6[0], v6[1], v6[2], v4[0], v4[1]]);
    assert_eq!(in_turns(sorted), addresses(&[v6[0], v4[0], v6[1], v4[1], v6[2]]));
    let sorted = addresses(&[v4[0], v6[0], v6[1]]);
    assert_eq!(in_turns(sorted), addresses(&[v4[0], v6[0], v6[1]]));
    assert!(in_turns(Vec::new()).is_empty());
}
