#include "linux/nft_transaction.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <random>

#include "linux/netlink_message.h"

namespace warren {
namespace {

constexpr std::uint32_t integer_type = 4;

std::span<const std::uint8_t> as_bytes(const std::uint16_t& value) {
  return {reinterpret_cast<const std::uint8_t*>(&value), sizeof value};
}

std::string unique_name(const std::string& prefix) {
  // In a namespace of processes, others have our number.
  std::random_device random;
  return fmt::format("{}-{}-{:08x}{:08x}", prefix, ::getpid(), random(), random());
}

}  // namespace

NftTransaction::NftTransaction(std::uint8_t family, const std::string& prefix)
    : family_(family), table_(unique_name(prefix)) {
  begin_or_end_batch(NFNL_MSG_BATCH_BEGIN);
  begin(NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_EXCL);
  put(NFTA_TABLE_NAME, table_);
  put(NFTA_TABLE_FLAGS, std::uint32_t{NFT_TABLE_F_OWNER});
}

void NftTransaction::add_chain(const std::string& name, std::uint32_t hook, std::int32_t priority) {
  begin(NFT_MSG_NEWCHAIN, NLM_F_CREATE);
  put(NFTA_CHAIN_TABLE, table_);
  put(NFTA_CHAIN_NAME, name);
  nest(NFTA_CHAIN_HOOK, [&] {
    put(NFTA_HOOK_HOOKNUM, hook);
    put(NFTA_HOOK_PRIORITY, static_cast<std::uint32_t>(priority));
  });
  put(NFTA_CHAIN_POLICY, std::uint32_t{NF_ACCEPT});
  put(NFTA_CHAIN_TYPE, std::string("filter"));
}

void NftTransaction::begin_set(const NftSet& set, std::uint32_t type, std::uint32_t element_size) {
  begin(NFT_MSG_NEWSET, NLM_F_CREATE);
  put(NFTA_SET_TABLE, table_);
  put(NFTA_SET_NAME, std::string(set.name));
  put(NFTA_SET_ID, set.number);
  put(NFTA_SET_KEY_TYPE, type);
  put(NFTA_SET_KEY_LEN, element_size);
}
void NftTransaction::add_set(const NftSet& set, std::span<const std::uint16_t> values) {
  begin_set(set, integer_type, sizeof(std::uint16_t));
  begin(NFT_MSG_NEWSETELEM, NLM_F_CREATE);
  put(NFTA_SET_ELEM_LIST_TABLE, table_);
  put(NFTA_SET_ELEM_LIST_SET, std::string(set.name));
  put(NFTA_SET_ELEM_LIST_SET_ID, set.number);
  nest(NFTA_SET_ELEM_LIST_ELEMENTS, [&] {
    for (const auto value : values)
      nest(NFTA_LIST_ELEM, [&] { put_value(NFTA_SET_ELEM_KEY, as_bytes(value)); });
  });
}
void NftTransaction::add_growing_set(const NftSet& set, std::uint32_t type,
                                     std::uint32_t element_size, std::uint32_t capacity,
                                     std::chrono::milliseconds lifetime) {
  begin_set(set, type, element_size);
  put(NFTA_SET_FLAGS, std::uint32_t{NFT_SET_EVAL | NFT_SET_TIMEOUT});
  put(NFTA_SET_TIMEOUT, static_cast<std::uint64_t>(lifetime.count()));
  nest(NFTA_SET_DESC, [&] { put(NFTA_SET_DESC_SIZE, capacity); });
}

nlattr* NftTransaction::begin_rule(const std::string& chain) {
  begin(NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
  put(NFTA_RULE_TABLE, table_);
  put(NFTA_RULE_CHAIN, chain);
  return begin_nest(NFTA_RULE_EXPRESSIONS);
}

template <class Fill>
void NftTransaction::expression(const char* name, Fill&& fill) {
  nest(NFTA_LIST_ELEM, [&] {
    put(NFTA_EXPR_NAME, std::string(name));
    nest(NFTA_EXPR_DATA, fill);
  });
}

void NftTransaction::load_meta(std::uint32_t key, std::uint32_t to) {
  expression("meta", [&] {
    put(NFTA_META_KEY, key);
    put(NFTA_META_DREG, to);
  });
}
void NftTransaction::load(std::uint32_t base, std::uint32_t at, std::uint32_t size,
                          std::uint32_t to) {
  expression("payload", [&] {
    put(NFTA_PAYLOAD_DREG, to);
    put_field(base, at, size);
  });
}
void NftTransaction::store_in_icmp(std::uint32_t at, std::uint32_t size, std::uint32_t from) {
  constexpr std::uint32_t checksum_at = 2;
  expression("payload", [&] {
    put(NFTA_PAYLOAD_SREG, from);
    put_field(NFT_PAYLOAD_TRANSPORT_HEADER, at, size);
    put(NFTA_PAYLOAD_CSUM_TYPE, std::uint32_t{NFT_PAYLOAD_CSUM_INET});
    put(NFTA_PAYLOAD_CSUM_OFFSET, checksum_at);
  });
}
void NftTransaction::store_address6(std::uint32_t at, std::uint32_t from) {
  expression("payload", [&] {
    put(NFTA_PAYLOAD_SREG, from);
    put_field(NFT_PAYLOAD_NETWORK_HEADER, at, 16);
    put(NFTA_PAYLOAD_CSUM_TYPE, std::uint32_t{NFT_PAYLOAD_CSUM_NONE});
    put(NFTA_PAYLOAD_CSUM_FLAGS, std::uint32_t{NFT_PAYLOAD_L4CSUM_PSEUDOHDR});
  });
}
void NftTransaction::require(std::uint32_t in, std::uint16_t value) {
  compare(in, NFT_CMP_EQ, as_bytes(value));
}
void NftTransaction::require_at_most(std::uint32_t in, std::uint16_t value) {
  compare(in, NFT_CMP_LTE, as_bytes(value));
}
void NftTransaction::require_byte(std::uint32_t in, std::uint8_t value) {
  compare(in, NFT_CMP_EQ, {&value, 1});
}
void NftTransaction::require_name(std::uint32_t in, const std::string& name) {
  compare(in, NFT_CMP_EQ, {reinterpret_cast<const std::uint8_t*>(name.c_str()), name.size() + 1});
}
void NftTransaction::compare(std::uint32_t in, std::uint32_t how,
                             std::span<const std::uint8_t> bytes) {
  expression("cmp", [&] {
    put(NFTA_CMP_SREG, in);
    put(NFTA_CMP_OP, how);
    put_value(NFTA_CMP_DATA, bytes);
  });
}
void NftTransaction::require_in_set(std::uint32_t in, const NftSet& set) {
  expression("lookup", [&] {
    put(NFTA_LOOKUP_SET, std::string(set.name));
    put(NFTA_LOOKUP_SET_ID, set.number);
    put(NFTA_LOOKUP_SREG, in);
  });
}
void NftTransaction::put_into_set(std::uint32_t from, const NftSet& set) {
  expression("dynset", [&] {
    put(NFTA_DYNSET_SET_NAME, std::string(set.name));
    put(NFTA_DYNSET_SET_ID, set.number);
    put(NFTA_DYNSET_OP, std::uint32_t{NFT_DYNSET_OP_ADD});
    put(NFTA_DYNSET_SREG_KEY, from);
  });
}
void NftTransaction::flip(std::uint32_t in, std::uint16_t bits) {
  const std::uint16_t all = 0xffff;
  expression("bitwise", [&] {
    put(NFTA_BITWISE_SREG, in);
    put(NFTA_BITWISE_DREG, in);
    put(NFTA_BITWISE_LEN, std::uint32_t{sizeof bits});
    put_value(NFTA_BITWISE_MASK, as_bytes(all));
    put_value(NFTA_BITWISE_XOR, as_bytes(bits));
  });
}
void NftTransaction::set(std::uint32_t to, std::span<const std::uint8_t> bytes) {
  expression("immediate", [&] {
    put(NFTA_IMMEDIATE_DREG, to);
    put_value(NFTA_IMMEDIATE_DATA, bytes);
  });
}
void NftTransaction::accept() { put_verdict(NF_ACCEPT); }
void NftTransaction::drop() { put_verdict(NF_DROP); }

void NftTransaction::put_verdict(std::int32_t code) {
  expression("immediate", [&] {
    put(NFTA_IMMEDIATE_DREG, std::uint32_t{NFT_REG_VERDICT});
    nest(NFTA_IMMEDIATE_DATA, [&] {
      nest(NFTA_DATA_VERDICT, [&] {
        put(NFTA_VERDICT_CODE, static_cast<std::uint32_t>(code));
      });
    });
  });
}

Result<Fd> NftTransaction::commit() {
  Fd netlink(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER));
  if (!netlink)
    return fail_errno(
        "open a netfilter socket (the kernel needs CONFIG_NETFILTER_NETLINK and "
        "CONFIG_NF_TABLES_INET)");
  begin_or_end_batch(NFNL_MSG_BATCH_END);
  if (::send(netlink.get(), buffer_.data(), size_ + message_->nlmsg_len, 0) < 0)
    return fail_errno("send nf_tables rules to the kernel");
  if (auto done = wait_for_answers(netlink.get()); !done) return tl::unexpected(done.error());
  return netlink;
}

Result<> NftTransaction::wait_for_answers(int socket) {
  alignas(nlmsghdr) std::array<char, 8192> answer;
  for (std::uint32_t acknowledged = 0; acknowledged < wanted_;) {
    const auto size = ::recv(socket, answer.data(), answer.size(), 0);
    if (size < 0) return fail_errno("read the kernel's answer about nf_tables rules");
    int code = 0;
    netlink::for_each_message(answer.data(), size, [&](const nlmsghdr* message) {
      if (message->nlmsg_type != NLMSG_ERROR) return;
      const auto* error = static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(message));
      if (code == 0) code = -error->error;
      ++acknowledged;
    });
    if (code != 0) return fail(std::strerror(code), code);
  }
  return {};
}

void NftTransaction::begin(std::uint16_t type, unsigned flags) {
  begin_message(static_cast<std::uint16_t>(NFNL_SUBSYS_NFTABLES << 8 | type), NLM_F_ACK | flags,
                family_, 0);
  ++wanted_;
}
void NftTransaction::begin_or_end_batch(std::uint16_t type) {
  begin_message(type, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
}
void NftTransaction::begin_message(std::uint16_t type, unsigned flags, std::uint8_t family,
                                   std::uint16_t resource) {
  if (message_ != nullptr) size_ += message_->nlmsg_len;
  message_ = mnl_nlmsg_put_header(buffer_.data() + size_);
  message_->nlmsg_type = type;
  message_->nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
  const nfgenmsg body{family, NFNETLINK_V0, htons(resource)};
  std::memcpy(mnl_nlmsg_put_extra_header(message_, sizeof body), &body, sizeof body);
}
void NftTransaction::put(std::uint16_t type, std::uint32_t value) {
  mnl_attr_put_u32(message_, type, htonl(value));
}
void NftTransaction::put(std::uint16_t type, std::uint64_t value) {
  mnl_attr_put_u64(message_, type, htobe64(value));
}
void NftTransaction::put(std::uint16_t type, const std::string& text) {
  mnl_attr_put_strz(message_, type, text.c_str());
}
nlattr* NftTransaction::begin_nest(std::uint16_t type) {
  return mnl_attr_nest_start(message_, type);
}
void NftTransaction::end_nest(nlattr* outer) { mnl_attr_nest_end(message_, outer); }
void NftTransaction::put_value(std::uint16_t type, std::span<const std::uint8_t> bytes) {
  nest(type, [&] { mnl_attr_put(message_, NFTA_DATA_VALUE, bytes.size(), bytes.data()); });
}
void NftTransaction::put_field(std::uint32_t base, std::uint32_t at, std::uint32_t size) {
  put(NFTA_PAYLOAD_BASE, base);
  put(NFTA_PAYLOAD_OFFSET, at);
  put(NFTA_PAYLOAD_LEN, size);
}

}  // namespace warren
