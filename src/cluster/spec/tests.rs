use super::*;

fn strategy(text: &str) -> Strategy {
    text.parse().unwrap()
}

fn refused(text: &str) -> String {
    text.parse::<Strategy>().unwrap_err().to_string()
}

#[test]
fn each_kind_has_its_text() {
    let nodes = ["a@127.0.0.1", "b@h"].map(|name| NodeName::new(name).unwrap());
    assert_eq!(strategy("static:a@127.0.0.1,b@h"), Strategy::Static(nodes.into()));
    assert_eq!(strategy("epmd:a@127.0.0.1,b@h"), Strategy::Static(nodes.into()));
    assert_eq!(strategy("local_epmd"), Strategy::LocalEpmd { every: Some(EPMD_INTERVAL) });
    assert_eq!(strategy("local-epmd:timeout=infinity"), Strategy::LocalEpmd { every: None });
    let every = Some(Duration::from_millis(250));
    assert_eq!(strategy("hosts:file=/etc/h,timeout=250"), Strategy::Hosts { file: Some("/etc/h".into()), every });
    assert_eq!(strategy("gossip"), Strategy::Gossip(Gossip::default()));
}

#[test]
fn gossip_takes_what_libcluster_does() {
    let text = "gossip:port=4000,if_addr=127.0.0.1,multicast_if=10.0.0.1,multicast_addr=233.0.0.1,multicast_ttl=3,\
                broadcast_only=true,secret=a\\,b=c";
    let mut expected = Gossip::default().secret("a,b=c");
    expected.port = 4000;
    expected.if_addr = Some([127, 0, 0, 1].into());
    expected.multicast_addr = [233, 0, 0, 1].into();
    expected.multicast_if = Some("10.0.0.1".into());
    expected.multicast_ttl = 3;
    expected.broadcast_only = true;
    assert_eq!(strategy(text), Strategy::Gossip(expected.clone()));
    assert_ne!(strategy(text), Strategy::Gossip(expected.secret("other")));
    assert!(!format!("{:?}", strategy(text)).contains("a,b"));
}

#[test]
fn what_cannot_be_is_refused_with_the_reason() {
    assert!(refused("carrier_pigeon").contains("carrier_pigeon"));
    assert_eq!(refused("gossip:color=red"), "gossip has no setting color");
    assert_eq!(refused("gossip:4000"), "gossip has no setting 4000");
    assert!(refused("gossip:port=70000").starts_with("port=70000: "));
    assert!(refused("static").contains("needs nodes"));
    assert!(refused("static:nohost").starts_with("static=nohost: "));
    assert!(refused("local_epmd:timeout=0").contains("at least one"));
    assert!(refused("gossip:secret_file=/nonexistent/s").starts_with("secret_file=/nonexistent/s: "));
}

#[test]
fn dns_takes_a_name_and_the_nodes_own() {
    let mut expected = Dns::new("app.lab", "app");
    assert_eq!(strategy("dns:app.lab,app"), Strategy::Dns(expected.clone()));
    assert_eq!(strategy("dns_poll:query=app.lab,node_basename=app"), Strategy::Dns(expected.clone()));
    expected.server = Some(([127, 0, 0, 1], 53).into());
    expected.polling_interval = Duration::from_millis(200);
    assert_eq!(strategy("dns:app.lab,app,server=127.0.0.1,polling_interval=200"), Strategy::Dns(expected));
    assert!(refused("dns:app.lab").contains("needs a name"));
    assert!(refused("dns:a,b,c").contains("no setting c"));
    assert!(refused("dns:a,b,polling_interval=infinity").contains("go on asking"));
}

#[test]
fn kubernetes_takes_libclusters_names_short_or_long() {
    let mut expected = Kubernetes::new("app", "app=web,tier=a");
    let text = "kubernetes:node_basename=app,kubernetes_selector=app=web\\,tier=a";
    assert_eq!(strategy(text), Strategy::Kubernetes(Box::new(expected.clone())));
    (expected.mode, expected.lookup) = (Mode::Hostname, Lookup::Pods);
    expected.service_name = Some("svc".into());
    let text = format!("{text},mode=hostname,ip_lookup_mode=pods,kubernetes_service_name=svc");
    assert_eq!(strategy(&text), Strategy::Kubernetes(Box::new(expected)));
    assert!(refused("kubernetes:selector=a").contains("needs node_basename"));
    assert!(refused("kubernetes:node_basename=a,selector=b,mode=x").contains("ip, dns or hostname"));
    assert!(refused("kubernetes:node_basename=a,selector=b,mode=hostname").contains("service_name"));
}

#[test]
fn kubernetes_dns_and_rancher_take_libclusters_names() {
    let mut expected = Dns::kubernetes("web-headless", "app");
    assert_eq!(strategy("kubernetes_dns:service=web-headless,application_name=app"), Strategy::Dns(expected.clone()));
    expected.polling_interval = Duration::from_secs(1);
    expected.server = Some(([127, 0, 0, 1], 5353).into());
    let text = "kubernetes-dns:service=web-headless,application_name=app,polling_interval=1000,server=127.0.0.1:5353";
    assert_eq!(strategy(text), Strategy::Dns(expected));
    let expected = Dns::kubernetes_srv("web", "lab", "app");
    for kind in ["kubernetes_dns_srv", "kubernetes_dnssrv"] {
        let text = format!("{kind}:service=web,namespace=lab,application_name=app");
        assert_eq!(strategy(&text), Strategy::Dns(expected.clone()));
    }
    let mut expected = Rancher::new("app");
    assert_eq!(strategy("rancher:node_basename=app"), Strategy::Rancher(expected.clone()));
    expected.metadata = "127.0.0.1:8080".into();
    assert_eq!(strategy("rancher:node_basename=app,metadata=127.0.0.1:8080"), Strategy::Rancher(expected));
    assert!(refused("kubernetes_dns:service=web").contains("needs service and application_name"));
    assert!(refused("kubernetes_dns_srv:service=web,application_name=a").contains("namespace"));
    assert!(refused("rancher").contains("needs node_basename"));
    assert!(refused("rancher:node_basename=a,polling_interval=infinity").contains("go on asking"));
}
