#include "engine/skel/identity_rules.h"

#include <algorithm>
#include <array>

#include "engine/skel/layout.h"
#include "engine/skel/path_pattern.h"

namespace vskel {

namespace {

using enum IdentityKind;

constexpr std::array<std::pair<IdentityKind, std::string_view>, 7> kWords{{{omit, "omit"},
                                                                           {clear, "clear"},
                                                                           {scratch, "scratch"},
                                                                           {empty, "empty"},
                                                                           {token, "token"},
                                                                           {keep, "keep"},
                                                                           {omit_keys, "omit-keys"}}};

struct BuiltIn {
  IdentityKind kind;
  std::string_view pattern, token, reason;  ///< no reason: the one above
};

constexpr std::array kBuiltIn{
    BuiltIn{omit, "/etc/ssh/ssh_host_*", "", "Who has them is the server. The plugin identity makes new ones."},
    BuiltIn{omit, "/etc/ssl/private/ssl-cert-snakeoil.key", "",
            "Debian's self-signed pair. The plugin identity makes a new one."},
    BuiltIn{omit, "/etc/ssl/certs/ssl-cert-snakeoil.pem", "", ""},
    BuiltIn{omit, "/etc/bind/rndc.key", "",
            "Who has it commands the name server, which makes one where it is missing."},
    BuiltIn{omit, "/etc/rndc.key", "", ""},
    BuiltIn{omit, "/etc/krb5.keytab", "", "One machine's Kerberos keys."},
    BuiltIn{omit, "/var/lib/systemd/random-seed", "", "Equal seeds are no seeds."},
    BuiltIn{omit, "/var/lib/urandom/random-seed", "", ""},
    BuiltIn{omit, "/var/lib/random-seed", "", ""},
    BuiltIn{omit, "/var/lib/systemd/credential.secret", "", "What systemd-creds encrypts with."},
    BuiltIn{omit, "/var/lib/NetworkManager/secret_key", "", "What stable addresses and ids of DHCP are made from."},
    BuiltIn{omit, "/etc/dhcpcd.duid", "", "Ids and leases of DHCP: the same for two machines, one address for two."},
    BuiltIn{omit, "/var/lib/dhcpcd*/duid", "", ""},
    BuiltIn{omit, "/var/lib/dhcpcd*/*.lease*", "", ""},
    BuiltIn{omit, "/var/lib/dhcpv6/dhcp6c_duid", "", ""},
    BuiltIn{omit, "/var/lib/dhcp/dhclient*.lease*", "", ""},
    BuiltIn{omit, "/var/lib/dhclient/*.lease*", "", ""},
    BuiltIn{omit, "/var/lib/NetworkManager/*.lease", "", ""},
    BuiltIn{omit, "/etc/passwd-", "", "Backups of accounts, with passwords of the past."},
    BuiltIn{omit, "/etc/shadow-", "", ""},
    BuiltIn{omit, "/etc/group-", "", ""},
    BuiltIn{omit, "/etc/gshadow-", "", ""},
    BuiltIn{omit, "/etc/subuid-", "", ""},
    BuiltIn{omit, "/etc/subgid-", "", ""},
    BuiltIn{omit, "/root/.*_history", "", "What somebody typed."},
    BuiltIn{omit, "/root/.lesshst", "", ""},
    BuiltIn{omit, "/root/.viminfo", "", ""},
    BuiltIn{omit, "/home/*/.*_history", "", ""},
    BuiltIn{omit, "/home/*/.lesshst", "", ""},
    BuiltIn{omit, "/home/*/.viminfo", "", ""},
    BuiltIn{empty, "/etc/machine-id", "", "The first boot fills it."},
    BuiltIn{omit, "/var/lib/dbus/machine-id", "", "D-Bus takes /etc/machine-id where it is missing."},
    BuiltIn{token, "/etc/hostname", "%%VS_NAME%%", "Each vserver's own name."},
    BuiltIn{token, "/etc/mailname", "%%VS_FQDN%%", ""},
    BuiltIn{token, "/etc/postfix/main.cf", "myhostname = %%VS_FQDN%%", ""},
    BuiltIn{scratch, "/tmp", "", "Nobody relies on what is left here."},
    BuiltIn{scratch, "/var/tmp", "", ""},
    BuiltIn{scratch, "/var/cache/dnf", "", "What package managers fetch again."},
    BuiltIn{scratch, "/var/cache/libdnf5", "", ""},
    BuiltIn{scratch, "/var/cache/yum", "", ""},
    BuiltIn{scratch, "/var/cache/zypp", "", ""},
    BuiltIn{scratch, "/var/cache/apk", "", ""},
    BuiltIn{scratch, "/var/cache/pacman/pkg", "", ""},
    BuiltIn{clear, "/var/cache/apt/archives/*.deb", "", ""},
    BuiltIn{clear, "/var/cache/apt/archives/partial", "", ""},
    BuiltIn{clear, "/var/cache/apt/*.bin", "", ""},
    BuiltIn{clear, "/var/lib/apt/lists", "", ""},
    BuiltIn{clear, "/var/cache/debconf/*-old", "", ""},
    BuiltIn{scratch, "/var/log/journal", "", "A directory for each machine, named by its id."},
    BuiltIn{empty, "/var/log/btmp", "", "Logins are written down only where these files are."},
    BuiltIn{empty, "/var/log/wtmp", "", ""},
    BuiltIn{empty, "/var/log/lastlog", "", ""},
    BuiltIn{empty, "/var/log/faillog", "", ""},
    BuiltIn{clear, "/var/log", "", "Daemons make their logs where the directory is."},
    BuiltIn{omit_keys, "/etc", "", "Any other file with a private key in it (PEM, OpenSSH)."},
    BuiltIn{omit_keys, "/var/lib", "", ""},
};

std::string_view word_of(IdentityKind kind) {
  return std::ranges::find(kWords, kind, &decltype(kWords)::value_type::first)->second;
}

std::string_view reason_of(const IdentityRule& rule) {
  const auto same = [&](const BuiltIn& one) {
    return one.kind == rule.kind && one.pattern == rule.pattern && one.token == rule.token;
  };
  const auto found = std::ranges::find_if(kBuiltIn, same);
  return found == kBuiltIn.end() ? std::string_view() : found->reason;
}

std::expected<IdentityRule, const char*> parse_token(std::string_view rest) {
  const std::size_t space = rest.find_first_of(" \t");
  const std::size_t start = space == rest.npos ? rest.npos : rest.find_first_not_of(" \t", space);
  if (start == rest.npos) return std::unexpected("a token rule is token PATTERN TEXT");
  const std::string_view text = rest.substr(start);
  if (text.find_first_of(std::string_view("\r\0", 2)) != text.npos)
    return std::unexpected("a token's text is one line");
  return IdentityRule{token, std::string(rest.substr(0, space)), std::string(text)};
}

}  // namespace

bool IdentityRule::covers(std::string_view relative_path) const {
  return kind == keep ? glob_matches(pattern, relative_path) : pattern_covers(pattern, relative_path);
}

IdentityRules IdentityRules::built_in() {
  IdentityRules rules;
  for (const BuiltIn& one : kBuiltIn) rules.add({one.kind, std::string(one.pattern), std::string(one.token)});
  return rules;
}

std::expected<bool, const char*> IdentityRules::add(std::string_view word, std::string_view rest) {
  const auto known = std::ranges::find(kWords, word, &decltype(kWords)::value_type::second);
  if (known == kWords.end()) return false;
  IdentityRule rule{known->first, std::string(rest), {}};
  if (rule.kind == token) {
    auto parsed = parse_token(rest);
    if (!parsed) return std::unexpected(parsed.error());
    rule = std::move(*parsed);
  }
  if (rule.kind == keep && !check_glob(rule.pattern)) return std::unexpected("no path can match it");
  if (const char* why = rule.kind == keep ? nullptr : bad_pattern(rule.pattern)) return std::unexpected(why);
  add(std::move(rule));
  return true;
}

bool IdentityRules::only_keeps() const {
  return std::ranges::all_of(rules_, [](const IdentityRule& rule) { return rule.kind == keep; });
}

const IdentityRule* IdentityRules::rule_of(std::string_view relative_path) const {
  const auto decides = [&](const IdentityRule& rule) { return rule.kind != omit_keys && rule.covers(relative_path); };
  const auto found = std::ranges::find_if(rules_, decides);
  return found == rules_.end() ? nullptr : &*found;
}

bool IdentityRules::may_hold_key(std::string_view relative_path) const {
  const auto covers = [&](const IdentityRule& rule) { return rule.covers(relative_path); };
  const auto found = std::ranges::find_if(rules_, covers);
  return found != rules_.end() && found->kind == omit_keys;
}

bool IdentityRules::leaves_out(std::string_view relative_path, sys::FileType type) const {
  const IdentityRule* const rule = rule_of(relative_path);
  if (rule == nullptr) return false;
  if (rule->kind == scratch) return match_pattern(rule->pattern, relative_path) == PatternMatch::below;
  return (rule->kind == omit || rule->kind == clear) && type == sys::FileType::regular;
}

std::string IdentityRules::text() const {
  std::string out;
  if (only_keeps()) out = "identity none\n";
  for (const IdentityRule& rule : rules_) {
    if (const std::string_view reason = reason_of(rule); !reason.empty()) out.append("# ").append(reason).append("\n");
    out.append(word_of(rule.kind)).append(" ").append(rule.pattern);
    if (rule.kind == token) out.append(" ").append(rule.token);
    out.append("\n");
  }
  return out;
}

}  // namespace vskel
