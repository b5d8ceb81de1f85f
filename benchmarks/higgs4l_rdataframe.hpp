// The selection of processors/higgs4l as a compiled RDataFrame: the peer of benchmarks/higgs4l_rdataframe.py.
// Everything is typed C++ (no strings for the interpreter to compile at run time), one thread, one event loop.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "ROOT/RDataFrame.hxx"
#include "ROOT/RSnapshotOptions.hxx"
#include "ROOT/RVec.hxx"
#include "TH1D.h"

namespace hepbatch {

using ROOT::RVecF;
using ROOT::VecOps::RVec;

constexpr int kPairs[6][2] = {{0, 1}, {0, 2}, {0, 3}, {1, 2}, {1, 3}, {2, 3}};
constexpr double kZMass = 91.1876;

struct Row {
   float pt[4], eta[4], phi[4], etcone20[4], d0_significance[4];
   char charge[4], type[4];
   double m4l, pt4l, y4l, m_z1, m_z2;
   float cos_theta_star, cos_theta1, cos_theta2, phi_planes, phi1;
   bool charge_ok, flavour_ok, lepton_pt, leading_pt, isolation, impact_parameter, delta_r, sfos_mass, z1_ok, z2_ok,
      window;
};

struct Vec {
   double x, y, z, e;
};

inline Vec add(const Vec &a, const Vec &b) { return {a.x + b.x, a.y + b.y, a.z + b.z, a.e + b.e}; }
inline Vec sub(const Vec &a, const Vec &b) { return {a.x - b.x, a.y - b.y, a.z - b.z, a.e - b.e}; }
inline double product(const Vec &a, const Vec &b) { return a.e * b.e - a.x * b.x - a.y * b.y - a.z * b.z; }
inline double dot(const Vec &a, const Vec &b) { return a.x * b.x + a.y * b.y + a.z * b.z; }
inline Vec boosted(const Vec &p, const Vec &frame, double mass)
{
   const double f = (p.e - dot(p, frame) / (frame.e + mass)) / mass;
   return {p.x - f * frame.x, p.y - f * frame.y, p.z - f * frame.z, 0.};
}

inline Row analyse(const RVecF &lep_pt, const RVecF &lep_eta, const RVecF &lep_phi, const RVecF &lep_charge,
                   const RVec<unsigned int> &lep_type, const RVecF &lep_etcone20, const RVecF &lep_d0,
                   const RVecF &lep_d0_error)
{
   Row r;
   int order[4] = {0, 1, 2, 3};
   std::stable_sort(order, order + 4, [&](int a, int b) { return lep_pt[a] > lep_pt[b]; });
   double pt[4];
   int charge[4], type[4], charge_sum = 0, type_sum = 0;
   Vec p[4];
   r.lepton_pt = r.isolation = r.impact_parameter = r.delta_r = true;
   for (int i = 0; i < 4; ++i) {
      const int k = order[i];
      pt[i] = lep_pt[k] / 1000.;
      charge[i] = int(lep_charge[k]);
      type[i] = int(lep_type[k]);
      charge_sum += charge[i];
      type_sum += type[i];
      const bool muon = type[i] == 13;
      const double significance = double(lep_d0[k]) / double(lep_d0_error[k]);
      r.lepton_pt &= pt[i] > (muon ? 6. : 7.);
      r.isolation &= double(lep_etcone20[k]) / double(lep_pt[k]) < (muon ? 0.3 : 0.2);
      r.impact_parameter &= std::abs(significance) < (muon ? 3.5 : 6.5);
      r.pt[i] = float(pt[i]);
      r.eta[i] = lep_eta[k];
      r.phi[i] = lep_phi[k];
      r.etcone20[i] = lep_etcone20[k] / 1000.f;
      r.d0_significance[i] = float(significance);
      r.charge[i] = static_cast<char>(charge[i]);
      r.type[i] = static_cast<char>(type[i]);
      const double sinh_eta = std::sinh(double(lep_eta[k]));
      p[i] = {pt[i] * std::cos(double(lep_phi[k])), pt[i] * std::sin(double(lep_phi[k])), pt[i] * sinh_eta,
              pt[i] * std::sqrt(1. + sinh_eta * sinh_eta)};
   }
   r.charge_ok = charge_sum == 0;
   r.flavour_ok = type_sum == 44 || type_sum == 48 || type_sum == 52;
   r.leading_pt = pt[1] > 15. && pt[2] > 10.;

   double square_sum = 0., mass[6];
   bool candidate[6];
   bool light = false;
   for (int k = 0; k < 6; ++k) {
      const int i = kPairs[k][0], j = kPairs[k][1];
      const double d_eta = double(r.eta[i]) - double(r.eta[j]);
      double d_phi = double(r.phi[i]) - double(r.phi[j]);
      if (d_phi > M_PI) d_phi -= 2. * M_PI;
      if (d_phi <= -M_PI) d_phi += 2. * M_PI;
      r.delta_r &= std::sqrt(d_eta * d_eta + d_phi * d_phi) > (type[i] == type[j] ? 0.1 : 0.2);
      const double square = 2. * std::max(0., product(p[i], p[j]));
      square_sum += square;
      mass[k] = std::sqrt(square);
      candidate[k] = type[i] == type[j] && charge[i] * charge[j] < 0;
      light |= candidate[k] && !(mass[k] > 5.);
   }
   r.m4l = std::sqrt(square_sum);
   const Vec system = add(add(p[0], p[1]), add(p[2], p[3]));
   r.pt4l = std::sqrt(system.x * system.x + system.y * system.y);
   r.y4l = std::asinh(system.z / std::sqrt(r.m4l * r.m4l + r.pt4l * r.pt4l));
   r.window = r.m4l > 120. && r.m4l < 130.;

   int z1 = -1;
   double nearest = std::numeric_limits<double>::infinity();
   for (int k = 0; k < 6; ++k) {
      const double distance = std::abs(mass[k] - kZMass);
      if (candidate[k] && candidate[5 - k] && distance < nearest) {
         nearest = distance;
         z1 = k;
      }
   }
   r.sfos_mass = z1 >= 0 && !light;
   if (z1 < 0) {
      r.m_z1 = r.m_z2 = std::numeric_limits<double>::quiet_NaN();
      r.cos_theta_star = r.cos_theta1 = r.cos_theta2 = r.phi_planes = r.phi1 = std::numeric_limits<float>::quiet_NaN();
      r.z1_ok = r.z2_ok = false;
      return r;
   }
   r.m_z1 = mass[z1];
   r.m_z2 = mass[5 - z1];
   r.z1_ok = r.m_z1 > 50. && r.m_z1 < 106.;
   const double minimum = 17.5 + 32.5 * (std::min(std::max(r.m4l, 120.), 190.) - 120.) / 70.;
   r.z2_ok = r.m_z2 > minimum && r.m_z2 < 115.;

   const int *a = kPairs[z1], *b = kPairs[5 - z1];
   const bool a_first = charge[a[0]] < 0, b_first = charge[b[0]] < 0;
   const Vec &minus1 = p[a[a_first ? 0 : 1]], &plus1 = p[a[a_first ? 1 : 0]];
   const Vec &minus2 = p[b[b_first ? 0 : 1]], &plus2 = p[b[b_first ? 1 : 0]];
   const Vec pz1 = add(minus1, plus1), pz2 = add(minus2, plus2), all = add(pz1, pz2);
   const Vec q1 = boosted(pz1, all, r.m4l), q11 = boosted(minus1, all, r.m4l), q21 = boosted(minus2, all, r.m4l);
   const double q1_squared = dot(q1, q1), q1_length = std::sqrt(q1_squared), scale = r.m4l * q1_length;
   r.cos_theta_star = float(q1.z / q1_length);
   r.cos_theta1 = float(product(sub(minus1, plus1), pz2) / scale);
   r.cos_theta2 = float(product(sub(minus2, plus2), pz1) / scale);
   const double q11_q1 = dot(q11, q1), q21_q1 = dot(q21, q1);
   const double triple = q1.x * (q11.y * q21.z - q11.z * q21.y) + q1.y * (q11.z * q21.x - q11.x * q21.z) +
                         q1.z * (q11.x * q21.y - q11.y * q21.x);
   r.phi_planes = float(std::atan2(-q1_length * triple, dot(q11, q21) * q1_squared - q11_q1 * q21_q1));
   r.phi1 = float(std::atan2(q1_length * (q1.x * q11.y - q1.y * q11.x), q11.z * q1_squared - q11_q1 * q1.z));
   return r;
}

struct Result {
   std::vector<unsigned long long> events;
   std::vector<double> weighted;
   double histogram_sum, sum_mc_weight;
};

#define HEPBATCH_COLUMN(name, type, expression) \
   node = node.Define(name, [](const Row &r) -> type { return expression; }, {"row"}); \
   columns.push_back(name);
#define HEPBATCH_LEPTON(number, i) \
   HEPBATCH_COLUMN("lep" #number "_pt", float, r.pt[i]) \
   HEPBATCH_COLUMN("lep" #number "_eta", float, r.eta[i]) \
   HEPBATCH_COLUMN("lep" #number "_phi", float, r.phi[i]) \
   HEPBATCH_COLUMN("lep" #number "_etcone20", float, r.etcone20[i]) \
   HEPBATCH_COLUMN("lep" #number "_d0_significance", float, r.d0_significance[i]) \
   HEPBATCH_COLUMN("lep" #number "_charge", char, r.charge[i]) \
   HEPBATCH_COLUMN("lep" #number "_type", char, r.type[i])

// Reads `input`, runs the whole cutflow, fills m4l and writes the skim to `output`. `normalisation` is
// L * xsec / (sumw * reduction efficiency). The skim is a TTree or an RNTuple, LZ4-compressed; without an output name
// nothing is written.
inline Result run(const std::string &input, const std::string &output, double normalisation, bool ntuple)
{
   ROOT::RDataFrame frame("mini", input);
   auto weighted = frame.Define("weight",
                                [normalisation](float mc, float pileup, float ele, float muon, float trigger) {
                                   return double(mc) * pileup * ele * muon * trigger * normalisation;
                                },
                                {"mcWeight", "scaleFactor_PILEUP", "scaleFactor_ELE", "scaleFactor_MUON",
                                 "scaleFactor_TRIGGER"})
                      .Define("mc_weight", [](float mc) { return double(mc); }, {"mcWeight"});
   std::vector<ROOT::RDF::RResultPtr<ULong64_t>> counts{weighted.Count()};
   std::vector<ROOT::RDF::RResultPtr<double>> sums{weighted.Sum<double>("weight")};
   auto sum_mc_weight = weighted.Sum<double>("mc_weight");

   ROOT::RDF::RNode four = weighted.Filter([](unsigned int n) { return n == 4; }, {"lep_n"});
   ROOT::RDF::RNode node = four.Define("row", analyse,
                                       {"lep_pt", "lep_eta", "lep_phi", "lep_charge", "lep_type", "lep_etcone20",
                                        "lep_trackd0pvunbiased", "lep_tracksigd0pvunbiased"});
   counts.push_back(node.Count());
   sums.push_back(node.Sum<double>("weight"));

   std::vector<std::string> columns;
   node = node.Define("run", [](int n) { return n; }, {"runNumber"})
             .Define("event", [](int n) { return static_cast<Long64_t>(n); }, {"eventNumber"})
             .Define("entry", [](ULong64_t n) { return static_cast<Long64_t>(n); }, {"rdfentry_"})
             .Define("leptons", [](unsigned int n) { return static_cast<int>(n); }, {"lep_n"});
   columns = {"run", "event", "entry", "leptons"};
   HEPBATCH_LEPTON(1, 0)
   HEPBATCH_LEPTON(2, 1)
   HEPBATCH_LEPTON(3, 2)
   HEPBATCH_LEPTON(4, 3)
   HEPBATCH_COLUMN("m4l", double, r.m4l)
   HEPBATCH_COLUMN("pt4l", double, r.pt4l)
   HEPBATCH_COLUMN("y4l", double, r.y4l)
   HEPBATCH_COLUMN("m_z1", double, r.m_z1)
   HEPBATCH_COLUMN("m_z2", double, r.m_z2)
   HEPBATCH_COLUMN("cos_theta_star", float, r.cos_theta_star)
   HEPBATCH_COLUMN("cos_theta1", float, r.cos_theta1)
   HEPBATCH_COLUMN("cos_theta2", float, r.cos_theta2)
   HEPBATCH_COLUMN("phi", float, r.phi_planes)
   HEPBATCH_COLUMN("phi1", float, r.phi1)
   columns.push_back("weight");
   columns.push_back("mc_weight");
   node = node.Define("pass_four_leptons", []() { return true; });
   columns.push_back("pass_four_leptons");
   HEPBATCH_COLUMN("pass_charge", bool, r.charge_ok)
   HEPBATCH_COLUMN("pass_flavour", bool, r.flavour_ok)
   HEPBATCH_COLUMN("pass_lepton_pt", bool, r.lepton_pt)
   HEPBATCH_COLUMN("pass_leading_pt", bool, r.leading_pt)
   HEPBATCH_COLUMN("pass_isolation", bool, r.isolation)
   HEPBATCH_COLUMN("pass_impact_parameter", bool, r.impact_parameter)
   HEPBATCH_COLUMN("pass_delta_r", bool, r.delta_r)
   HEPBATCH_COLUMN("pass_sfos_mass", bool, r.sfos_mass)
   HEPBATCH_COLUMN("pass_m_z1", bool, r.z1_ok)
   HEPBATCH_COLUMN("pass_m_z2", bool, r.z2_ok)
   HEPBATCH_COLUMN("pass_mass_window", bool, r.window)

   ROOT::RDF::RSnapshotOptions options;
   options.fLazy = true;
   options.fCompressionAlgorithm = ROOT::RCompressionSetting::EAlgorithm::kLZ4;
   options.fCompressionLevel = 1;
   options.fOutputFormat =
      ntuple ? ROOT::RDF::ESnapshotOutputFormat::kRNTuple : ROOT::RDF::ESnapshotOutputFormat::kTTree;
   // A lazy snapshot lives as long as its result is held.
   ROOT::RDF::RResultPtr<ROOT::RDF::RInterface<ROOT::Detail::RDF::RLoopManager>> snapshot;
   if (!output.empty()) snapshot = node.Snapshot("skim", output, columns, options);

   ROOT::RDF::RResultPtr<TH1D> histogram;
   ROOT::RDF::RNode cut = node;
   for (const auto &name : {"charge", "flavour", "lepton_pt", "leading_pt", "isolation", "impact_parameter", "delta_r",
                            "sfos_mass", "m_z1", "m_z2", "mass_window"}) {
      cut = cut.Filter([](bool pass) { return pass; }, {std::string("pass_") + name});
      counts.push_back(cut.Count());
      sums.push_back(cut.Sum<double>("weight"));
      if (std::string(name) == "m_z2")
         histogram = cut.Histo1D<double, double>({"m4l", "m4l", 34, 80., 250.}, "m4l", "weight");
   }
   Result result;
   // The first access runs the event loop once for everything booked, the lazy snapshot included.
   for (auto &count : counts) result.events.push_back(*count);
   for (auto &sum : sums) result.weighted.push_back(*sum);
   result.histogram_sum = histogram->Integral(0, 35);
   result.sum_mc_weight = *sum_mc_weight;
   return result;
}

} // namespace hepbatch
