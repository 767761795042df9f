#include "carrier/echo_diverter.h"

#include <fmt/format.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "carrier/icmp_filter.h"
#include "wire/bytes.h"
#include "wire/icmp.h"

namespace warren::carrier {
namespace {

// Registers: four of 16 bytes, which can also be had as 4 bytes each.
constexpr std::uint32_t source_register = NFT_REG_1;
constexpr std::uint32_t destination_register = NFT_REG_2;
constexpr std::uint32_t zero_register = NFT_REG_3;
constexpr std::uint32_t identifier_register = NFT_REG32_12;
constexpr std::uint32_t checksum_register = NFT_REG32_13;
constexpr std::uint32_t scratch_register = NFT_REG32_14;

// The sets of the table.
constexpr std::uint32_t tags_set = 1;
constexpr std::uint32_t codes_set = 2;
constexpr std::uint32_t integer_type = 4;  // of their elements, as nft(8) shows them

// Later than any firewall's rules, and before connection tracking confirms. What a ring has goes
// first.
constexpr std::int32_t divert_priority = 250;
constexpr std::int32_t drop_priority = divert_priority - 1;

std::span<const std::uint8_t> as_bytes(const std::uint16_t& value) {
  return {reinterpret_cast<const std::uint8_t*>(&value), sizeof value};
}

/// A transaction: several nfnetlink messages in one buffer, applied together or not at all.
class Transaction {
 public:
  Transaction() : table_(unique_name()) { begin(NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC, true); }

  void add_table() {
    begin(NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_EXCL);
    put(NFTA_TABLE_NAME, table_);
    put(NFTA_TABLE_FLAGS, std::uint32_t{NFT_TABLE_F_OWNER});
  }
  void add_chain(std::int32_t priority) {
    begin(NFT_MSG_NEWCHAIN, NLM_F_CREATE);
    put(NFTA_CHAIN_TABLE, table_);
    put(NFTA_CHAIN_NAME, chain);
    nest(NFTA_CHAIN_HOOK, [&] {
      put(NFTA_HOOK_HOOKNUM, std::uint32_t{NF_INET_LOCAL_IN});
      put(NFTA_HOOK_PRIORITY, static_cast<std::uint32_t>(priority));
    });
    put(NFTA_CHAIN_POLICY, std::uint32_t{NF_ACCEPT});
    put(NFTA_CHAIN_TYPE, "filter");
  }
  /// Of 2 bytes each. Rules of this transaction refer to the set by its number.
  void add_set(std::uint32_t number, std::span<const std::uint16_t> values) {
    const auto name = fmt::format("set{}", number);
    begin(NFT_MSG_NEWSET, NLM_F_CREATE);
    put(NFTA_SET_TABLE, table_);
    put(NFTA_SET_NAME, name);
    put(NFTA_SET_ID, number);
    put(NFTA_SET_KEY_TYPE, integer_type);
    put(NFTA_SET_KEY_LEN, std::uint32_t{sizeof(std::uint16_t)});
    begin(NFT_MSG_NEWSETELEM, NLM_F_CREATE);
    put(NFTA_SET_ELEM_LIST_TABLE, table_);
    put(NFTA_SET_ELEM_LIST_SET, name);
    put(NFTA_SET_ELEM_LIST_SET_ID, number);
    nest(NFTA_SET_ELEM_LIST_ELEMENTS, [&] {
      for (const auto value : values)
        nest(NFTA_LIST_ELEM, [&] { put_value(NFTA_SET_ELEM_KEY, as_bytes(value)); });
    });
  }
  template <class Fill>
  void add_rule(Fill&& expressions) {
    begin(NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
    put(NFTA_RULE_TABLE, table_);
    put(NFTA_RULE_CHAIN, chain);
    nest(NFTA_RULE_EXPRESSIONS, expressions);
  }

  // The expressions of a rule.
  void load_meta(std::uint32_t key, std::uint32_t to) {
    expression("meta", [&] {
      put(NFTA_META_KEY, key);
      put(NFTA_META_DREG, to);
    });
  }
  void load(std::uint32_t base, std::uint32_t at, std::uint32_t size, std::uint32_t to) {
    expression("payload", [&] {
      put(NFTA_PAYLOAD_DREG, to);
      put_field(base, at, size);
    });
  }
  /// Writes to the ICMP header; its checksum follows.
  void store(std::uint32_t at, std::uint32_t size, std::uint32_t from) {
    expression("payload", [&] {
      put(NFTA_PAYLOAD_SREG, from);
      put_field(NFT_PAYLOAD_TRANSPORT_HEADER, at, size);
      put(NFTA_PAYLOAD_CSUM_TYPE, std::uint32_t{NFT_PAYLOAD_CSUM_INET});
      put(NFTA_PAYLOAD_CSUM_OFFSET, std::uint32_t{wire::IcmpView::checksum_at});
    });
  }
  /// Writes an address of the IPv6 header; the checksum of the ICMP header follows.
  void store_address(std::uint32_t at, std::uint32_t from) {
    expression("payload", [&] {
      put(NFTA_PAYLOAD_SREG, from);
      put_field(NFT_PAYLOAD_NETWORK_HEADER, at, 16);
      put(NFTA_PAYLOAD_CSUM_TYPE, std::uint32_t{NFT_PAYLOAD_CSUM_NONE});
      put(NFTA_PAYLOAD_CSUM_FLAGS, std::uint32_t{NFT_PAYLOAD_L4CSUM_PSEUDOHDR});
    });
  }
  /// The rule ends here unless the register holds these bytes.
  void require(std::uint32_t in, std::span<const std::uint8_t> bytes) {
    expression("cmp", [&] {
      put(NFTA_CMP_SREG, in);
      put(NFTA_CMP_OP, std::uint32_t{NFT_CMP_EQ});
      put_value(NFTA_CMP_DATA, bytes);
    });
  }
  void require_at_most(std::uint32_t in, std::span<const std::uint8_t> bytes) {
    expression("cmp", [&] {
      put(NFTA_CMP_SREG, in);
      put(NFTA_CMP_OP, std::uint32_t{NFT_CMP_LTE});
      put_value(NFTA_CMP_DATA, bytes);
    });
  }
  /// The rule ends here unless the set has what the register holds.
  void require_in_set(std::uint32_t in, std::uint32_t number) {
    expression("lookup", [&] {
      put(NFTA_LOOKUP_SET, fmt::format("set{}", number));
      put(NFTA_LOOKUP_SET_ID, number);
      put(NFTA_LOOKUP_SREG, in);
    });
  }
  /// Flips bits of a register of 2 bytes.
  void flip(std::uint32_t in, std::uint16_t bits) {
    const std::uint16_t all = 0xffff;
    expression("bitwise", [&] {
      put(NFTA_BITWISE_SREG, in);
      put(NFTA_BITWISE_DREG, in);
      put(NFTA_BITWISE_LEN, std::uint32_t{sizeof bits});
      put_value(NFTA_BITWISE_MASK, as_bytes(all));
      put_value(NFTA_BITWISE_XOR, as_bytes(bits));
    });
  }
  void set(std::uint32_t to, std::span<const std::uint8_t> bytes) {
    expression("immediate", [&] {
      put(NFTA_IMMEDIATE_DREG, to);
      put_value(NFTA_IMMEDIATE_DATA, bytes);
    });
  }
  void drop() {
    expression("immediate", [&] {
      put(NFTA_IMMEDIATE_DREG, std::uint32_t{NFT_REG_VERDICT});
      nest(NFTA_IMMEDIATE_DATA, [&] {
        nest(NFTA_DATA_VERDICT, [&] { put(NFTA_VERDICT_CODE, std::uint32_t{NF_DROP}); });
      });
    });
  }

  Result<> commit(int netlink) {
    begin(NFNL_MSG_BATCH_END, 0, AF_UNSPEC, true);
    if (::send(netlink, buffer_.data(), size_ + message_->nlmsg_len, 0) < 0)
      return fail_errno("send nf_tables rules to the kernel");
    alignas(nlmsghdr) std::array<char, 8192> answer;
    for (std::uint32_t acknowledged = 0; acknowledged < wanted_;) {
      const auto size = ::recv(netlink, answer.data(), answer.size(), 0);
      if (size < 0) return fail_errno("read the kernel's answer about nf_tables rules");
      int rest = static_cast<int>(size);
      for (const auto* message = reinterpret_cast<const nlmsghdr*>(answer.data());
           mnl_nlmsg_ok(message, rest); message = mnl_nlmsg_next(message, &rest)) {
        if (message->nlmsg_type != NLMSG_ERROR) continue;
        const auto* error = static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(message));
        if (error->error != 0) return fail(std::strerror(-error->error), -error->error);
        ++acknowledged;
      }
    }
    return {};
  }

 private:
  static constexpr const char* chain = "input";

  static std::string unique_name() {
    static std::atomic<unsigned> made{0};
    return fmt::format("warren-relay-{}-{}", ::getpid(), made++);
  }

  void begin(std::uint16_t type, unsigned flags, std::uint8_t family = NFPROTO_INET,
             bool batch = false) {
    if (message_ != nullptr) size_ += message_->nlmsg_len;
    message_ = mnl_nlmsg_put_header(buffer_.data() + size_);
    message_->nlmsg_type =
        batch ? type : static_cast<std::uint16_t>(NFNL_SUBSYS_NFTABLES << 8 | type);
    message_->nlmsg_flags =
        static_cast<std::uint16_t>(NLM_F_REQUEST | flags | (batch ? 0U : NLM_F_ACK));
    const nfgenmsg body{
        family, NFNETLINK_V0,
        batch ? wire::network(std::uint16_t{NFNL_SUBSYS_NFTABLES}) : std::uint16_t{0}};
    std::memcpy(mnl_nlmsg_put_extra_header(message_, sizeof body), &body, sizeof body);
    if (!batch) ++wanted_;
  }
  void put(std::uint16_t type, std::uint32_t value) {
    mnl_attr_put_u32(message_, type, wire::network(value));
  }
  void put(std::uint16_t type, const std::string& text) {
    mnl_attr_put_strz(message_, type, text.c_str());
  }
  template <class Fill>
  void nest(std::uint16_t type, Fill&& fill) {
    auto* outer = mnl_attr_nest_start(message_, type);
    fill();
    mnl_attr_nest_end(message_, outer);
  }
  void put_value(std::uint16_t type, std::span<const std::uint8_t> bytes) {
    nest(type, [&] { mnl_attr_put(message_, NFTA_DATA_VALUE, bytes.size(), bytes.data()); });
  }
  void put_field(std::uint32_t base, std::uint32_t at, std::uint32_t size) {
    put(NFTA_PAYLOAD_BASE, base);
    put(NFTA_PAYLOAD_OFFSET, at);
    put(NFTA_PAYLOAD_LEN, size);
  }
  template <class Fill>
  void expression(const char* name, Fill&& fill) {
    nest(NFTA_LIST_ELEM, [&] {
      put(NFTA_EXPR_NAME, std::string(name));
      nest(NFTA_EXPR_DATA, fill);
    });
  }

  // The rules have a fixed size, a few kilobytes; tags take 16 bytes each.
  alignas(nlmsghdr) std::array<char, 65536> buffer_{};
  std::size_t size_ = 0;
  nlmsghdr* message_ = nullptr;
  std::uint32_t wanted_ = 0;  // acknowledgments
  std::string table_;
};

constexpr std::uint32_t type_at = 0;
constexpr std::uint32_t identifier_at = 4;
constexpr std::uint32_t source_at = 8;
constexpr std::uint32_t destination_at = 24;
constexpr auto in_icmp = NFT_PAYLOAD_TRANSPORT_HEADER;
constexpr auto in_ip = NFT_PAYLOAD_NETWORK_HEADER;

void require_tag(Transaction& rules, bool ipv6) {
  const std::array<std::uint8_t, 16> zeros{};
  rules.set(zero_register, zeros);
  rules.load(in_icmp, identifier_at, 2, identifier_register);
  rules.store(identifier_at, 2, zero_register);
  if (ipv6) {
    rules.load(in_ip, source_at, 16, source_register);
    rules.load(in_ip, destination_at, 16, destination_register);
    rules.store_address(source_at, zero_register);
    rules.store_address(destination_at, zero_register);
  }
  rules.load(in_icmp, wire::IcmpView::checksum_at, 2, checksum_register);
  if (ipv6) {
    rules.store_address(source_at, source_register);
    rules.store_address(destination_at, destination_register);
  }
  rules.store(identifier_at, 2, identifier_register);
  rules.require_in_set(checksum_register, tags_set);
}

void require_in_ring(Transaction& rules) {
  const auto fragment_word = wire::network(ring_fragment_word);
  const auto max_length = wire::network(ring_max_length);
  rules.load(in_ip, wire::Ipv4View::fragment_word_at, 2, scratch_register);
  rules.require(scratch_register, as_bytes(fragment_word));
  rules.load(in_ip, wire::Ipv4View::total_length_at, 2, scratch_register);
  rules.require_at_most(scratch_register, as_bytes(max_length));
}

enum class Fate : std::uint8_t { diverted, dropped_if_in_ring };

// Requests in the profile `warren` have the tag in a sum, those of `tutu` the user in the code.
void add_rule(Transaction& rules, bool ipv6, Profile profile, Fate fate) {
  const std::uint8_t network[] = {ipv6 ? std::uint8_t{NFPROTO_IPV6} : std::uint8_t{NFPROTO_IPV4}};
  const std::uint8_t transport[] = {ipv6 ? std::uint8_t{IPPROTO_ICMPV6}
                                         : std::uint8_t{IPPROTO_ICMP}};
  const auto request = type_word(request_type(ipv6));
  rules.add_rule([&] {
    rules.load_meta(NFT_META_NFPROTO, scratch_register);
    rules.require(scratch_register, network);
    rules.load_meta(NFT_META_L4PROTO, scratch_register);
    rules.require(scratch_register, transport);
    if (fate == Fate::dropped_if_in_ring) require_in_ring(rules);
    rules.load(in_icmp, type_at, 2, scratch_register);
    if (profile == Profile::tutu) {
      rules.require_in_set(scratch_register, codes_set);
    } else {
      rules.require(scratch_register, as_bytes(request));
      require_tag(rules, ipv6);
      rules.load(in_icmp, type_at, 2, scratch_register);
    }
    if (fate == Fate::dropped_if_in_ring) {
      rules.drop();
      return;
    }
    rules.flip(scratch_register, request ^ type_word(diverted_type(ipv6)));
    rules.store(type_at, 2, scratch_register);
  });
}

void add_rules(Transaction& rules, std::span<const Tag> users, Fate fate) {
  std::vector<std::uint16_t> tags;
  std::vector<std::uint16_t> codes;
  for (const auto& user : users) {
    if (user.profile == Profile::warren)
      tags.push_back(wire::network(user.value));
    else
      for (const bool ipv6 : {false, true})
        codes.push_back(type_word(request_type(ipv6)) | wire::network(user.value));
  }
  if (!tags.empty()) rules.add_set(tags_set, tags);
  if (!codes.empty()) rules.add_set(codes_set, codes);
  for (const bool ipv6 : {false, true}) {
    if (ipv6 && fate == Fate::dropped_if_in_ring) continue;  // rings have IPv4
    if (!tags.empty()) add_rule(rules, ipv6, Profile::warren, fate);
    if (!codes.empty()) add_rule(rules, ipv6, Profile::tutu, fate);
  }
}

Result<Fd> make_table(std::span<const Tag> tags, Fate fate) {
  constexpr auto purpose =
      "keep the kernel from answering the carried echo requests (nf_tables table)";
  Fd netlink(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER));
  if (!netlink)
    return fail_errno(
        fmt::format("{}: open a netfilter socket (the kernel needs "
                    "CONFIG_NETFILTER_NETLINK and CONFIG_NF_TABLES_INET)",
                    purpose));
  Transaction rules;
  rules.add_table();
  rules.add_chain(fate == Fate::diverted ? divert_priority : drop_priority);
  add_rules(rules, tags, fate);
  auto done = rules.commit(netlink.get());
  if (done) return netlink;
  const int code = done.error().code;
  const char* hint = code == EPERM ? "; run as root, or with CAP_NET_ADMIN"
                     : code == EOPNOTSUPP || code == EINVAL || code == ENOENT
                         ? "; it needs kernel 5.13 with CONFIG_NF_TABLES_INET (modprobe nf_tables)"
                         : "";
  return fail(fmt::format("{}: {}{}", purpose, done.error().message, hint), code);
}

}  // namespace

Result<EchoDiverter> EchoDiverter::create(std::span<const Tag> tags) {
  return make_table(tags, Fate::diverted).map([](Fd fd) { return EchoDiverter(std::move(fd)); });
}

Result<EchoDiverter> EchoDiverter::drop_what_ring_has(std::span<const Tag> tags) {
  return make_table(tags, Fate::dropped_if_in_ring).map([](Fd fd) {
    return EchoDiverter(std::move(fd));
  });
}

}  // namespace warren::carrier
