"""What must not be reached, in every spelling that is known: addresses, hosts, and whole URLs."""

HERE = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.100.100.200", "100.127.255.255",
    "127.0.0.1", "127.8.8.8", "168.63.129.16", "169.254.0.1", "169.254.169.254", "169.254.170.2", "172.16.0.1",
    "172.31.255.255", "192.0.0.1", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1",
    "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:7f00:1", "::ffff:10.0.0.1", "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "100::1", "2001::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:10::1", "2001:20::1", "2001:db8::1", "2002:7f00:1::",
    "2002:808:808::1", "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fd12:3456::1", "fe80::1", "fe80::1%eth0",
    "fec0::1", "ff02::1", "4000::1",
    # Further ones of each range, and addresses that carry an IPv4 one inside.
    "10.1.2.3.", "127.0.0.1.", "127.255.255.255", "169.254.169.253", "169.254.169.123", "192.168.255.255",
    "172.20.10.2", "100.64.0.0", "224.0.0.251", "232.1.1.1", "255.255.255.254", "198.19.255.255",
    "0:0:0:0:0:0:0:1", "0:0:0:0:0:ffff:127.0.0.1", "::ffff:0:0", "::ffff:100.64.0.1", "::ffff:192.168.1.1",
    "::ffff:a9fe:a9fe", "::FFFF:7F00:0001", "0000:0000:0000:0000:0000:0000:0000:0001", "::7f00:1", "::a9fe:a9fe",
    "64:ff9b::10.0.0.1", "64:ff9b::192.168.1.1", "64:ff9b::100.64.0.1", "64:ff9b::0.0.0.0", "64:ff9b:1:ffff::7f00:1",
    "2002:a9fe:a9fe::", "2002:c0a8:101::1", "2002:a00:1::", "2001:0:7f00:1::", "fe80::a9fe:a9fe%1", "febf::1",
    "fd00:ec2::23", "fd20:ce::254", "fd00:42::42",
    "fd00::1", "fdff:ffff::1", "ff01::1", "ff05::1:3", "ff0e::1", "2001:2::1", "2001:db8:ffff::1", "100:0:0:1::1",
]  # fmt: skip
"""Addresses that are not out in the public internet."""

ODD_HOSTS = [
    "2130706433", "0x7f000001", "0x7f.0.0.1", "0x7f.1", "0X7F.1", "127.1", "127.0.1", "0177.0.0.1",
    "017700000001", "127.0.0.01", "1.2.3.4.5", "127.0.0.0x1", "0", "0x", "127.0.0.1.2130706433", "127.0.0.1..",
    "256.1.1.1",
    "a.b.0x7f", "%31%32%37.0.0.1", "127。0。0。1", "１２７.0.0.1", "①②⑦.0.0.1", "localhost%00.example.com",
    "ex ample.com", "exa\tmple.com", "", ".", "..", "-", "[::1", "[127.0.0.1]", "a" * 64 + ".example.com:0",
    "example.com:0", "example.com:99999", "example.com:-1", "user@example.com", "user:pw@example.com", ":pw@127.0.0.1",
    "example.com\\@127.0.0.1", "example.com:443@127.0.0.1", "127.0.0.1.", "127.1.",
    # Decimal, octal, hexadecimal and short forms of loopback, metadata and private networks, alone and mixed.
    "2852039166", "0xa9fea9fe", "0xA9.0xFE.0xA9.0xFE", "0251.0376.0251.0376", "025177524776", "0251.254.169.254",
    "169.16689662", "169.254.43518", "0xa9.254.0251.43518", "10.1", "0xa.1", "012.1", "167772161", "192.168.257",
    "0300.0250.1.1", "00000127.0.0.1", "0x7f000001.", "0x00000000000000007f000001", "4294967295", "4294967296",
    "00", "0.0", "0x0", "0000.0000.0000.0000", "1", "+127.0.0.1", "127.0.0.-1", "127.0.0.1%00",
    # Digits and dots that are no ASCII ones, which IDNA reads as such, and letters between them.
    "127\uff0e0\uff0e0\uff0e1", "127\uff610\uff610\uff611", "\uff10x7f.1",
    "\u0661\u0662\u0667.0.0.1",
    "\U0001d7cf\U0001d7d0\U0001d7d5.0.0.1", "169.254.169.\u00b2\u2075\u2074", "127.0.0.1\u200b", "\u00ad127.0.0.1",
    "0x7\uff46.1",
    # Brackets, zones, and what parsers disagree about.
    "[::1]]", "[[::1]]", "[::ffff:127.0.0.1", "::1", "[::1%25lo]", "[fe80::1%25eth0]", "[::1].example.com", "[0x7f.1]",
    "[127.0.0.1]:443", "[::127.1]", "[::ffff:0x7f.1]", "[v1.::1]", "[]", "[::ffff:127.0.0.1%25lo]",
    # Another host behind, or in front of, what looks like one.
    "127.0.0.1#@example.com", "127.0.0.1?@example.com", "127.0.0.1/@example.com", "user@127.0.0.1:443",
    "example.com@127.0.0.1", "a:b@c@127.0.0.1", "127.0.0.1\\@example.com", "127.0.0.1;example.com",
    "127.0.0.1 example.com", "127.0.0.1\r\nexample.com", "127.0.0.1\texample.com", "example.com,127.0.0.1",
    # Ports in spellings of their own.
    "example.com:0443.", "example.com:443:22", "example.com:65536",
    "example.com:22", "example.com:25", "example.com:5432", "example.com:0x1bb",
    "-.example.com", "example..com", ".example.com", "exa_mple-.com",
    "*.example.com", "example.com\u3002\u3002",
]  # fmt: skip
"""Hosts that some parser or resolver reads as an address, or that two parsers read as two hosts."""

ODD_URLS = ["http://example.com", "ftp://example.com", "file:///etc/passwd", "gopher://a.example",
                                 "unix:///run/x", "//example.com", "example.com", "HTTP://example.com", "data:,x",
                                 "https://example.com:22", "https://example.com:80", "https://example.com:6379",
                                 "https:///path", "javascript:alert(1)", "https://", "",
                                 "http://example.com:443"]  # fmt: skip
"""Schemes and ports that nobody allowed."""
